/**
 * The timers as they were when this was loaded: tests that mock timers mean their own, and a store whose turns or looks never come would hang with
 * them, some of it also when they are taken back.
 */
export const { setTimeout, clearTimeout, setInterval, setImmediate } = globalThis;
