// How an answer cites its sources: [1], [1, 2], [1; 2], [1-3], [^1], [Source 1] or 【1】. The server reads
// them the same way (application/replies/citing.py).

const NUMBERS = String.raw`\d{1,2}(?:\s*[-–—]\s*\d{1,2})?`;
const LIST = String.raw`(${NUMBERS}(?:\s*[,;]\s*${NUMBERS})*)`;
const CITATION = new RegExp(
  String.raw`\[\s*(?:\^|sources?\s+|passages?\s+)?${LIST}\s*\](?!\()` +
    String.raw`|【\s*(?:sources?\s+)?${LIST}\s*(?:†[^】\n]{0,100})?】`,
  "gi",
);

/** What a text cites, in its order: where that stands, how long it is, and the numbers that it names. */
export function citations(text) {
  return Array.from(text.matchAll(CITATION), (match) => ({
    index: match.index,
    length: match[0].length,
    numbers: (match[1] ?? match[2]).split(/[,;]/).flatMap(expanded),
  }));
}

/** The numbers of a range; 0, which is no source, for one that runs backwards. */
function expanded(part) {
  const [first, last] = part.split(/[-–—]/).map(Number);
  if (last === undefined) return [first];
  return last > first ? Array.from({ length: last - first + 1 }, (_, more) => first + more) : [0];
}
