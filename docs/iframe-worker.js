"use strict";
// A page that lies on a disk may start no Worker, on which the search of these pages rests: there
// its script runs in a hidden frame instead. The name is the one that MkDocs's theme looks for.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #early = [];
    #frame = document.createElement("iframe");

    constructor(url) {
      super();
      this.#frame.hidden = true;
      this.#frame.addEventListener("load", () => this.#start(new URL(url, document.baseURI)), { once: true });
      document.body.append(this.#frame);
    }

    postMessage(data) {
      if (this.#early) this.#early.push(data);
      else this.#frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.#frame.remove();
    }

    #start(url) {
      const inside = this.#frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = inside.document.createElement("script");
      script.src = url;
      script.addEventListener("load", () => {
        const early = this.#early;
        this.#early = null;
        for (const data of early) this.postMessage(data);
      });
      inside.document.body.append(script);
    }
  };
}
