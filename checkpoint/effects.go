package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
)

// Key is the same each time that the record with that cursor is processed, by whichever session, and another for every other record: 32
// hexadecimal digits, for a sink that drops or replaces what it has already, such as a queue with deduplication ids or a table with that as
// its key. A record is processed again where the session before died behind its last save; a sink that goes by keys then has it once.
//
// Checkpoints do not share keys, and neither do the lives of one: who deletes a checkpoint, and runs the job again, has other
// records. An import begins a life of its own. A reset does not: to have a sink take the same records anew, delete.
func (s *Session[T]) Key(cursor string) string {
	h := s.c.lease.Head()
	born := h.Born
	if !h.Exists() {
		born = h.Number + 1 // as the first commit has it
	}
	var text []byte
	for _, part := range []string{s.c.key.Namespace, s.c.key.Name} {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	text = binary.AppendVarint(text, born)
	text = append(text, cursor...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Output is a name for an output of the job's, such as a file, that no other session and no later save gives: name with the epoch and the version
// that is saved next, before its extension, as in part-7-e3-v120.parquet. Names of one save must differ by themselves.
//
// Which outputs count is for the state to say: list the name there in the [Session.Mark] that moves the cursor past what it holds. So
// it is in the list exactly if its records are not processed again, and what a session wrote and could not list, because it died or had lost its lease, is in
// no list.
func (s *Session[T]) Output(name string) string {
	extension := path.Ext(name)
	return fmt.Sprintf("%s-e%d-v%d%s", name[:len(name)-len(extension)], s.Epoch(), s.Version()+1, extension)
}
