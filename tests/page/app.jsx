// A page whose `draw(jobs)` shows jobs by hooks, and `show(props)` by the component.

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { JobProgress, useJobProgress } from "sseprog/react";

// What each hook has returned, by its name, and how often it was called.
window.seen = {};
window.calls = {};
const told = (window.told = []);

const Line = ({ name, job, options }) => {
	const state = useJobProgress(job, options);
	calls[name] = (calls[name] ?? 0) + 1;
	const list = (seen[name] ??= []);
	if (list.at(-1) !== state) list.push(state);
	return (
		<p id={name}>
			{state.status ?? "nothing"} {state.progress ?? "-"} {state.message}{" "}
			{state.error && `error ${state.error.code}`}
			<button onClick={() => state.cancel().catch((error) => told.push(String(error)))}>Cancel</button>
		</p>
	);
};

const record = (name) => (detail) => told.push([name, detail.status ?? detail.state, detail.job_id]);

const Card = ({ element, ...props }) => (
	<JobProgress
		onStatus={record("status")}
		onProgress={record("progress")}
		onComplete={record("complete")}
		onError={record("error")}
		onConnection={record("connection")}
		{...props}
		ref={element}
	/>
);

let root;
const render = (children) => {
	root ??= createRoot(document.getElementById("root"));
	root.render(<StrictMode>{children}</StrictMode>);
};
// A job by its id, or `{ job, options, name }`.
window.draw = (jobs) =>
	render(
		jobs.map((each, index) => {
			const line = each?.name ? each : { name: each ?? `none${index}`, job: each };
			return <Line key={line.name} {...line} />;
		}),
	);
window.show = (props) => render(<Card {...props} />);
window.unmount = () => (root = root.unmount());
window.ready = true;
