/**
 * Objects with room for many members. The engine keeps an object's members in a list, read by place, only while there are few of them, or
 * while there is room for them in the object itself: beyond 16 that are added by name it would make a hash table of each object, which takes
 * five to eight times as much memory and longer to make, to read and to collect. How much room an object has depends on the function that
 * made it: on what that assigns to `this`, and then, for good, on what the first objects were filled with. So there is one for each count.
 *
 * Where an engine goes about it otherwise, nothing is lost but this.
 */

/** Up to so many members an empty object does as well. */
export const PLAIN_MEMBERS_MAX = 16;
/** Room beyond this is not made: such objects become hash tables. */
export const ROOMY_MEMBERS_MAX = 128;

type Maker = new () => Record<string, unknown>;

const makers: (Maker | undefined)[] = Array.from({ length: ROOMY_MEMBERS_MAX + 1 }, () => undefined);

/** A plain object without members, made to be filled with so many: no more than `ROOMY_MEMBERS_MAX`. */
export function roomyObject(members: number): Record<string, unknown> {
  const Maker = (makers[members] ??= newMaker());
  return new Maker();
}

function newMaker(): Maker {
  /** Assigns nothing, but could: the engine counts what is written here, not what is done. */
  function Members(this: Record<string, unknown>, never?: true): void {
    if (never !== true) return;
    // biome-ignore format: one assignment a line is a hundred lines that nobody reads
    this.a0 = this.a1 = this.a2 = this.a3 = this.a4 = this.a5 = this.a6 = this.a7 = this.a8 = this.a9 = this.aa = this.ab = this.ac = this.ad = this.ae = this.af =
      this.b0 = this.b1 = this.b2 = this.b3 = this.b4 = this.b5 = this.b6 = this.b7 = this.b8 = this.b9 = this.ba = this.bb = this.bc = this.bd = this.be = this.bf =
      this.c0 = this.c1 = this.c2 = this.c3 = this.c4 = this.c5 = this.c6 = this.c7 = this.c8 = this.c9 = this.ca = this.cb = this.cc = this.cd = this.ce = this.cf =
      this.d0 = this.d1 = this.d2 = this.d3 = this.d4 = this.d5 = this.d6 = this.d7 = this.d8 = this.d9 = this.da = this.db = this.dc = this.dd = this.de = this.df =
      this.e0 = this.e1 = this.e2 = this.e3 = this.e4 = this.e5 = this.e6 = this.e7 = this.e8 = this.e9 = this.ea = this.eb = this.ec = this.ed = this.ee = this.ef =
      this.f0 = this.f1 = this.f2 = this.f3 = this.f4 = this.f5 = this.f6 = this.f7 = this.f8 = this.f9 = this.fa = this.fb = this.fc = this.fd = this.fe = this.ff =
      this.g0 = this.g1 = this.g2 = this.g3 = this.g4 = this.g5 = this.g6 = this.g7 = this.g8 = this.g9 = this.ga = this.gb = this.gc = this.gd = this.ge = this.gf =
      this.h0 = this.h1 = this.h2 = this.h3 = this.h4 = this.h5 = this.h6 = this.h7 = this.h8 = this.h9 = this.ha = this.hb = this.hc = this.hd = this.he = this.hf = 0;
  }
  Members.prototype = Object.prototype;
  return Members as unknown as Maker;
}
