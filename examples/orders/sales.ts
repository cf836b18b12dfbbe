/** Sales: one state folded of the events of all orders. Its snapshot on disk lets the next start read only what is new. */
import { defineProjection } from "batpak";
import { orderEvents } from "./order.ts";

export interface SalesState {
  readonly placed: number;
  readonly cancelled: number;
  readonly shipped: number;
  readonly revenueCents: number;
  /** Pieces ordered, by article. */
  readonly pieces: Readonly<Record<string, number>>;
}
const initial: SalesState = { placed: 0, cancelled: 0, shipped: 0, revenueCents: 0, pieces: {} };

export const Sales = defineProjection({
  name: "sales",
  version: 1,
  events: orderEvents,
  initial,
  on: {
    OrderPlaced: (sales, { data }) => {
      const pieces = { ...sales.pieces };
      for (const { sku, quantity } of data.lines) pieces[sku] = (pieces[sku] ?? 0) + quantity;
      return { ...sales, placed: sales.placed + 1, pieces };
    },
    OrderPaid: (sales, { data }) => ({ ...sales, revenueCents: sales.revenueCents + data.cents }),
    OrderShipped: (sales) => ({ ...sales, shipped: sales.shipped + 1 }),
    OrderCancelled: (sales) => ({ ...sales, cancelled: sales.cancelled + 1 }),
  },
});
