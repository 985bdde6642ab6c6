package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
)

// Key returns an idempotency key for the record at cursor: 32 hexadecimal digits. Every session
// returns the same key for the same record, and different keys for different records. A record is
// processed again if a session died after its last save. A sink that drops or replaces a key that
// it already has then holds the record once. Such a sink is a queue with deduplication ids, or a
// table with the key as its primary key.
//
// Two checkpoints never share a key. A delete or an import begins a new life of the checkpoint,
// with new keys. A reset keeps the keys. To make a sink accept the same records again, delete the
// checkpoint.
func (s *Session[T]) Key(cursor string) string {
	h := s.c.lease.Head()
	born := h.Born
	if !h.Exists() {
		born = h.Number + 1 // the first commit sets the same
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

// Output returns a name for an output of the job, such as a file. No other session and no later
// save gets the same name. Output puts the epoch and the number of the next version before the
// extension of name, as in part-7-e3-v120.parquet. Within one save, the caller must pass different
// names.
//
// The state decides which outputs count. In the [Session.Mark] that moves the cursor past the
// records of an output, add the output's name to a list in the state. An output is then in the list
// if and only if its records are not processed again. A session that died or lost its lease may
// leave outputs that are in no list.
func (s *Session[T]) Output(name string) string {
	extension := path.Ext(name)
	return fmt.Sprintf("%s-e%d-v%d%s", name[:len(name)-len(extension)], s.Epoch(), s.Version()+1, extension)
}
