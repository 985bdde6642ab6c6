package memstore

import (
	"fmt"

	"github.com/milepost-dev/milepost/store"
)

// The names of a checkpoint's records, as [store.BadRecordError] has them.
const (
	recordHead   = "HEAD"
	recordLease  = "LEASE"
	recordExpect = "EXPECT"
)

func recordCopy(version int64) string { return fmt.Sprintf("V#%020d", version) }

// Damage is for tests: from now on the record (HEAD, LEASE, EXPECT, or V# and the
// version in 20 digits) is one that cannot be trusted, because of why. Reading or
// writing it fails with a [store.BadRecordError] around why, which may be
// [store.ErrNewerFormat]. A nil why mends it.
func (s *Store) Damage(key store.Key, record string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.made(key)
	if why == nil {
		delete(c.damaged, record)
		return
	}
	c.damaged[record] = &store.BadRecordError{Key: key, Record: record, Err: why}
}

// Drop is for tests: it removes the record as no method of the contract would, a
// hand in the table or a restored backup.
func (s *Store) Drop(key store.Key, record string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.made(key)
	switch record {
	case recordHead:
		c.head = nil
	case recordLease:
		c.lease = nil
	case recordExpect:
		c.expect = nil
	default:
		for version := range c.copies {
			if recordCopy(version) == record {
				delete(c.copies, version)
			}
		}
	}
}
