package memstore

import "github.com/milepost-dev/milepost/store"

// Damage is for tests: from now on the record of that name, such as [store.RecordHead] or a
// [store.CopyRecord], cannot be trusted. Each read or write of it fails with a
// [store.BadRecordError] around why, which may be [store.ErrNewerFormat]. With a nil why the record
// is good again.
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

// Drop is for tests: it removes the record of that name, as someone who edits the table or restores
// a backup does. No method of the contract does so.
func (s *Store) Drop(key store.Key, record string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.made(key)
	switch record {
	case store.RecordHead:
		c.head = nil
	case store.RecordLease:
		c.lease = nil
	case store.RecordExpect:
		c.expect = nil
	default:
		if version, ok := store.CopyVersion(record); ok {
			delete(c.copies, version)
		}
	}
}
