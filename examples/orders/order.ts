/** An order: what can happen to it, and what may be asked of it when. Nothing here knows of HTTP or of files. */
import { defineDecider, defineEvent, type Store, type } from "batpak";

export interface Line {
  readonly sku: string;
  readonly quantity: number;
  /** Of one piece. */
  readonly cents: number;
}

export const OrderPlaced = defineEvent("OrderPlaced", { schema: type<{ customer: string; lines: readonly Line[] }>() });
export const OrderPaid = defineEvent("OrderPaid", { schema: type<{ cents: number }>() });
export const OrderShipped = defineEvent("OrderShipped", { schema: type<{ parcel: string }>() });
export const OrderCancelled = defineEvent("OrderCancelled", { schema: type<{ reason: string }>() });

export const orderEvents = [OrderPlaced, OrderPaid, OrderShipped, OrderCancelled] as const;
export type OrderStore = Store<typeof orderEvents>;

export type Command =
  | { readonly do: "place"; readonly customer: string; readonly lines: readonly Line[] }
  | { readonly do: "pay"; readonly cents: number }
  | { readonly do: "ship"; readonly parcel: string }
  | { readonly do: "cancel"; readonly reason: string };

/** A command that the rules do not allow. It comes out of `store.handle` as it is thrown here. */
export class Refused extends Error {}

interface OrderState {
  readonly status: "new" | "placed" | "paid" | "shipped" | "cancelled";
  readonly cents: number;
}
const initial: OrderState = { status: "new", cents: 0 };

export function totalOf(lines: readonly Line[]): number {
  return lines.reduce((total, { quantity, cents }) => total + quantity * cents, 0);
}

export const Order = defineDecider({
  events: orderEvents,
  initial,
  decide: (command: Command, order) => {
    switch (command.do) {
      case "place":
        if (order.status !== "new") throw new Refused("the order is there already");
        if (command.lines.length === 0) throw new Refused("an order has one line or more");
        return OrderPlaced({ customer: command.customer, lines: command.lines });
      case "pay":
        if (order.status !== "placed") throw new Refused(`an order that is ${order.status} cannot be paid`);
        if (command.cents !== order.cents) throw new Refused(`the order costs ${order.cents} cents`);
        return OrderPaid({ cents: command.cents });
      case "ship":
        if (order.status !== "paid") throw new Refused(`an order that is ${order.status} cannot be shipped`);
        return OrderShipped({ parcel: command.parcel });
      case "cancel":
        // Nothing to do is no event, and no error.
        if (order.status === "cancelled") return null;
        if (order.status !== "placed") throw new Refused(`an order that is ${order.status} cannot be cancelled`);
        return OrderCancelled({ reason: command.reason });
    }
  },
  evolve: {
    OrderPlaced: (_order, { data }) => ({ status: "placed", cents: totalOf(data.lines) }),
    OrderPaid: (order) => ({ ...order, status: "paid" }),
    OrderShipped: (order) => ({ ...order, status: "shipped" }),
    OrderCancelled: (order) => ({ ...order, status: "cancelled" }),
  },
});
