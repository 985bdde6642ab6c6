// Keeps a page with data-live up to date: reads the page again and replaces the parts that changed.
// Everything else works without this script.
"use strict";
(() => {
	const main = document.querySelector("main[data-live]");
	if (!main) return;
	const every = Math.max(Number(main.dataset.live) || 5, 1) * 1000;
	let on = true;
	let timer = 0;

	const button = document.createElement("button");
	button.type = "button";
	button.className = "live";
	button.textContent = "Pause updates";
	button.addEventListener("click", () => {
		on = !on;
		button.textContent = on ? "Pause updates" : "Resume updates";
		schedule(on ? 0 : undefined);
	});
	main.querySelector(".asof").append(button);

	// The focus stays on the same link or field in the new part.
	const focusKey = (e) => e.id ? "#" + CSS.escape(e.id) : e.getAttribute("href") ? `[href="${CSS.escape(e.getAttribute("href"))}"]` : "";

	function replace(part, fresh) {
		if (part.innerHTML === fresh.innerHTML) return;
		const focused = part.contains(document.activeElement) ? document.activeElement : null;
		const key = focused && focusKey(focused);
		const region = focused && [...part.querySelectorAll("[tabindex]")].indexOf(focused);
		const scrolled = [...part.querySelectorAll(".scroll")].map((e) => e.scrollLeft);
		part.replaceChildren(...[...fresh.childNodes].map((n) => document.adoptNode(n)));
		part.querySelectorAll(".scroll").forEach((e, i) => { e.scrollLeft = scrolled[i] || 0; });
		const again = key ? part.querySelector(key) : region >= 0 ? part.querySelectorAll("[tabindex]")[region] : null;
		if (again) again.focus({ preventScroll: true });
	}

	async function update() {
		const selection = window.getSelection();
		if (document.hidden || selection && !selection.isCollapsed) return;
		const reply = await fetch(location.href, { cache: "no-store", redirect: "error" });
		if (!reply.ok) return;
		const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
		const parts = fresh.querySelectorAll("main[data-live] [data-part]");
		if (parts.length !== main.querySelectorAll("[data-part]").length) {
			if (parts.length) location.reload(); // the page now has other parts
			return;
		}
		for (const part of parts) {
			const old = main.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
			if (!old) return location.reload();
			if (part.dataset.part === "asof") {
				old.querySelector("time").replaceWith(document.adoptNode(part.querySelector("time")));
			} else {
				replace(old, part);
			}
		}
	}

	function schedule(after) {
		clearTimeout(timer);
		if (after === undefined) return;
		timer = setTimeout(async () => {
			try { await update(); } catch { /* the server does not answer: try again next time */ }
			if (on) schedule(every);
		}, after);
	}
	document.addEventListener("visibilitychange", () => { if (!document.hidden && on) schedule(0); });
	schedule(every);
})();
