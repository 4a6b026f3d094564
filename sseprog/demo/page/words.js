// Numbers as people read them. What is not known gives "".

export function bytes(count) {
  if (count == null) return "";
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit++;
  }
  return `${count < 10 && unit ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

export function clock(seconds) {
  if (seconds == null) return "";
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function span(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "";
  if (seconds < 99.5) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export const speed = (factor) => (factor ? `${factor.toFixed(factor < 10 ? 1 : 0)}× real time` : "");
export const frames = (rate) => (rate ? `${Math.round(rate)} fps` : "");
