// Keeps the facts below a job's bar up to date.

const facts = document.querySelector(".sseprog-facts");
const element = document.querySelector("job-progress");

const put = (name, text) => {
	const node = facts.querySelector(`[data-${name}]`);
	if (text && node.textContent !== text) node.textContent = text;
};

const time = (text) => text && new Date(text).toLocaleString(document.documentElement.lang || []);

for (const name of ["status", "progress", "complete", "error"])
	element.addEventListener(`job-${name}`, ({ detail: job }) => {
		put("started", time(job.started_at));
		put("updated", time(job.updated_at));
		put("details", JSON.stringify(job.details, null, 2));
	});
