// Keeps the list of jobs up to date. What did not change is not touched, so that focus, selection
// and scrolling stay where they are.

const changelist = document.getElementById("changelist");
const state = changelist.querySelector("[data-state]");
const EVERY = 2000; // ms
let timer;

const update = (fresh) => {
	for (const node of fresh.querySelectorAll("[data-live]")) {
		const shown = changelist.querySelector(`[data-live="${node.dataset.live}"]`);
		if (shown.textContent !== node.textContent) shown.textContent = node.textContent;
	}
	const body = changelist.querySelector("tbody");
	const known = new Map([...body.rows].map((row) => [row.dataset.job, row]));
	let next = body.firstElementChild;
	for (const row of fresh.querySelectorAll("tbody > tr")) {
		const shown = known.get(row.dataset.job);
		if (!shown) {
			body.insertBefore(document.adoptNode(row), next);
			continue;
		}
		known.delete(row.dataset.job);
		[...shown.cells].forEach((cell, index) => {
			if (!cell.isEqualNode(row.cells[index])) cell.replaceWith(row.cells[index].cloneNode(true));
		});
		if (shown === next) next = next.nextElementSibling;
		else body.insertBefore(shown, next);
	}
	for (const row of known.values()) row.remove();
};

const refresh = async () => {
	const signal = AbortSignal.timeout(10000);
	const answer = await fetch(changelist.dataset.rows, { signal }).catch(() => null);
	if (answer?.redirected || answer?.status === 403) {
		state.textContent = "Not signed in: reload the page.";
		return;
	}
	if (answer?.ok) update(new DOMParser().parseFromString(await answer.text(), "text/html"));
	state.textContent = answer?.ok ? "" : "Connection lost, trying again…";
	plan();
};

const plan = () => {
	clearTimeout(timer);
	if (!document.hidden) timer = setTimeout(refresh, EVERY);
};

document.addEventListener("visibilitychange", plan);
plan();
