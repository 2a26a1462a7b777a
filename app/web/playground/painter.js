/** Draws what has changed, at most once in every frame of the display, however many messages arrived. */

const LATEST = 250; // milliseconds: a page that is not shown gets no frames

export class Painter {
  #draws = new Set();
  #frame = 0;
  #timer = 0;

  /** @param {() => void} draw called once, soon; the same function is not called twice */
  ask(draw) {
    this.#draws.add(draw);
    if (this.#timer) return;
    this.#frame = requestAnimationFrame(() => this.flush());
    this.#timer = setTimeout(() => this.flush(), LATEST);
  }

  flush() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = 0;
    const draws = [...this.#draws];
    this.#draws.clear();
    for (const draw of draws) draw();
  }
}

export const painter = new Painter();
