// Reads and writes tables as RFC 4180 describes them, and guesses what it leaves open. Knows nothing of the page.

const DELIMITERS = [",", ";", "\t"];
const TEXT_NAMES = ["text", "review", "reviews", "content", "comment", "comments", "sentence", "body", "message"];
// Enough to tell a delimiter or a column by.
const SAMPLE_CHARACTERS = 65536;
const SAMPLE_ROWS = 50;
// A spreadsheet reads a cell that begins so as a formula.
const FORMULA = /^[=+\-@\t\r\n]/;
const NUMBER = /^[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?$/i;

/** A file that is no table; the message says what to do. */
export class TableError extends Error {}

/** Turn a file's bytes into text; `marked` says whether it began with a byte order mark. */
export function decode(bytes) {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4) {
    throw new TableError("This is a workbook or an archive, not a CSV file: save it as CSV first.");
  }
  const wide = { "255,254": "utf-16le", "254,255": "utf-16be" }[`${bytes[0]},${bytes[1]}`];
  if (wide) return { text: new TextDecoder(wide).decode(bytes), encoding: wide.toUpperCase(), marked: true };
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), encoding: "UTF-8", marked };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "Windows-1252", marked: false };
  }
}

/**
 * Return the rows of a table, each a list of cells; lines with nothing on them are left out.
 *
 * An empty delimiter means one cell a line. `open` allows a last cell whose quotes are never closed: a sample may end anywhere.
 */
export function parse(text, delimiter, { open = false } = {}) {
  const rows = [];
  let row = [];
  let place = 0;
  while (place < text.length) {
    const [cell, end] = text[place] === '"' ? quoted(text, place, delimiter, open) : plain(text, place, delimiter);
    row.push(cell);
    place = end;
    if (delimiter && text[place] === delimiter) {
      place += 1;
      if (place < text.length) continue;
      row.push("");
    }
    place += text.startsWith("\r\n", place) ? 2 : 1;
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  }
  return rows;
}

function plain(text, start, delimiter) {
  let end = start;
  while (end < text.length && text[end] !== delimiter && text[end] !== "\n" && text[end] !== "\r") end += 1;
  return [text.slice(start, end), end];
}

function quoted(text, start, delimiter, open) {
  let cell = "";
  let place = start + 1;
  for (;;) {
    const quote = text.indexOf('"', place);
    if (quote < 0) {
      if (open) return [cell + text.slice(place), text.length];
      const line = text.slice(0, start).split(/\r\n|\r|\n/).length;
      throw new TableError(`The quotes that are opened in line ${line} are never closed.`);
    }
    cell += text.slice(place, quote);
    if (text[quote + 1] !== '"') {
      // What follows the closing quotes within the cell is against the rules; it is kept as it stands.
      const [rest, end] = plain(text, quote + 1, delimiter);
      return [cell + rest, end];
    }
    cell += '"';
    place = quote + 2;
  }
}

/** Return the delimiter by which most rows have as many cells as the first; an empty one where no row has two. */
export function guessDelimiter(text) {
  const cut = text.length > SAMPLE_CHARACTERS;
  let best = { delimiter: "", share: 0, width: 1 };
  for (const delimiter of DELIMITERS) {
    const rows = parse(text.slice(0, SAMPLE_CHARACTERS), delimiter, { open: true });
    if (cut && rows.length > 1) rows.pop();
    const width = rows[0]?.length ?? 0;
    if (width < 2) continue;
    const share = rows.filter((row) => row.length === width).length / rows.length;
    if (share > best.share || (share === best.share && width > best.width)) best = { delimiter, share, width };
  }
  return best.delimiter;
}

/** Say whether the first row looks like names of columns. */
export function guessHeader(rows) {
  const names = (rows[0] ?? []).map((cell) => cell.trim().toLowerCase());
  const fit = names.every((name) => name && name.length <= 60 && !NUMBER.test(name));
  if (!fit || new Set(names).size < names.length) return false;
  // One short line says nothing: it may be a text itself.
  return names.length > 1 || TEXT_NAMES.includes(names[0]);
}

/** Return the place of the column that holds the texts: by its name, else the one with the longest cells. */
export function guessColumn(rows, header) {
  if (header) {
    const names = rows[0].map((cell) => cell.trim().toLowerCase());
    for (const name of TEXT_NAMES) if (names.includes(name)) return names.indexOf(name);
  }
  const lengths = [];
  for (const row of rows.slice(header ? 1 : 0, SAMPLE_ROWS)) {
    row.forEach((cell, column) => (lengths[column] = (lengths[column] ?? 0) + cell.length));
  }
  const known = Array.from(lengths, (length) => length ?? 0);
  return Math.max(0, known.indexOf(Math.max(...known)));
}

/** Split rows into names and rows of one width; columns without a name get one. */
export function asTable(rows, header) {
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const given = header ? rows[0] : [];
  const names = Array.from({ length: width }, (_, column) => given[column]?.trim() || `column ${column + 1}`);
  const body = header ? rows.slice(1) : rows;
  const ragged = body.filter((row) => row.length > (rows[0]?.length ?? 0)).length;
  return { names, rows: body.map((row) => [...row, ...Array(width - row.length).fill("")]), ragged };
}

/** Return names for new columns that no column has yet. */
export function freeNames(wanted, taken) {
  const used = new Set(taken.map((name) => name.toLowerCase()));
  return wanted.map((name) => {
    let free = name;
    for (let number = 1; used.has(free); number += 1) free = `predicted_${name}${number > 1 ? `_${number}` : ""}`;
    used.add(free);
    return free;
  });
}

/** Return a cell that no spreadsheet computes; numbers stay as they are. */
export function disarm(cell) {
  return FORMULA.test(cell) && !NUMBER.test(cell) ? `'${cell}` : cell;
}

/** Return rows as text with CRLF line ends; every cell is disarmed, and quoted where it has to be. */
export function format(rows, delimiter) {
  const cellOf = (value) => {
    const cell = disarm(String(value));
    return /[",;\t\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };
  return rows.map((row) => `${row.map(cellOf).join(delimiter || ",")}\r\n`).join("");
}

/** Return a name to save under, made from the name of the file that came in, without anything a path could be made of. */
export function downloadName(name) {
  const last = name.split(/[/\\]/).pop();
  const stem = last
    .replace(/\.[^.]*$/, "")
    .replace(/[\p{C}<>:"|?*]/gu, "")
    .replace(/^[.\s]+|[.\s]+$/g, "");
  return `${[...stem].slice(0, 80).join("") || "texts"}-scored.csv`;
}
