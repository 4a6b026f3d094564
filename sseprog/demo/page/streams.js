// Who may open a stream. Over HTTP/1.1 a browser has six connections to a host, for all of its tabs
// together: three go to streams, so that pages, uploads and players always find one. A card that
// gets none is drawn from the list of jobs, which is asked for every second.

const STREAMS = 3;
const STREAMS_OF_A_TAB = 2; // where tabs can't agree: Web Locks need https or localhost
let ours = 0;

// Return a function that gives the stream back, or null if there is none to have.
export async function takeStream() {
  if (!navigator.locks) return ours < STREAMS_OF_A_TAB ? (ours++, once(() => ours--)) : null;
  for (let n = 0; n < STREAMS; n++) {
    const release = await takeLock(`sseprog-stream-${n}`);
    if (release) return once(release);
  }
  return null;
}

// The lock is held until the promise settles that is returned to it; a closed tab lets go as well.
function takeLock(name) {
  return new Promise((resolve) => {
    navigator.locks.request(name, { ifAvailable: true }, (lock) =>
      lock ? new Promise((release) => resolve(release)) : resolve(null),
    );
  });
}

function once(give) {
  let given = false;
  return () => {
    if (!given) give();
    given = true;
  };
}
