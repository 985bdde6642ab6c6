package records

import "bytes"

// csvField says where in a field of a CSV record a reader is.
type csvField int

const (
	atStart csvField = iota
	unquoted
	inQuotes
	afterQuote // a quote inside quotes: the first of two, or the closing one
)

// after returns where the reader is when it has read chunk. A quote opens a quoted field only where
// a field begins, so that 5" in a plain field is harmless.
func (f csvField) after(chunk []byte, delimiter byte) csvField {
	if f != inQuotes && f != afterQuote && bytes.IndexByte(chunk, '"') < 0 {
		// Without a quote, only the last byte of the chunk matters.
		chunk = chunk[max(0, len(chunk)-1):]
	}
	for _, c := range chunk {
		switch {
		case f == inQuotes:
			if c == '"' {
				f = afterQuote
			}
		case c == delimiter || c == '\n':
			f = atStart
		case c == '"' && f != unquoted:
			f = inQuotes // an opening quote, or the second of two
		default:
			f = unquoted
		}
	}
	return f
}

// csvDelimiter returns what separates the fields of a header: the most frequent of the usual ones
// outside quotes, and a comma if there is none.
func csvDelimiter(header []byte) byte {
	best, most := byte(','), 0
	for _, delimiter := range []byte(",;\t|") {
		count, quoted := 0, false
		for _, c := range header {
			switch {
			case c == '"':
				quoted = !quoted
			case c == delimiter && !quoted:
				count++
			}
		}
		if count > most {
			best, most = delimiter, count
		}
	}
	return best
}
