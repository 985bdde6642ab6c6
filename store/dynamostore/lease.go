package dynamostore

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	c := s.call("Acquire", key)
	if observed == nil {
		return c.putLease(ctx, next, ifAbsent, nil)
	}
	return c.putLease(ctx, next, ifAsObserved, values{
		":epoch": num(observed.Epoch), ":lease_id": str(observed.LeaseID),
		":status": str(string(observed.Status)), ":beat": num(observed.Beat), ":fmt": num(store.Format),
	})
}

// Steal implements [store.Store].
func (s *Store) Steal(ctx context.Context, key store.Key, observed *store.Lease, next store.Lease) (store.Clock, error) {
	c := s.call("Steal", key)
	if observed == nil {
		return c.putLease(ctx, next, ifAbsent, nil)
	}
	return c.putLease(ctx, next, ifSameLease, values{
		":epoch": num(observed.Epoch), ":lease_id": str(observed.LeaseID),
		":status": str(string(observed.Status)), ":fmt": num(store.Format),
	})
}

func (c *call) putLease(ctx context.Context, next store.Lease, condition expression, v values) (store.Clock, error) {
	if err := next.Validate(); err != nil {
		return store.Clock{}, c.refuse(err)
	}
	it, err := leaseItem(c.key, next)
	if err != nil {
		return store.Clock{}, c.refuse(err)
	}
	return c.put(ctx, it, condition, v, withLease)
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, r store.Renewal) (store.Lease, store.Clock, error) {
	c := s.call("Renew", key)
	v := values{
		":epoch": num(r.Fence.Epoch), ":lease_id": str(r.Fence.LeaseID), ":status": str(string(store.Held)),
		":beat": num(r.Beat), ":fmt": num(store.Format),
	}
	change := newChange(v)
	change.set("beat", num(r.Beat))
	change.setNumber("until_ms", toMillis(r.Until.Wall))
	change.setNumber("renewed_at", toMicros(r.RenewedAt))
	change.setNumber("version", r.Version)
	out, err := c.update(ctx, store.RecordLease, change.text(), ifMineToRenew, v, types.ReturnValueAllNew, withLease)
	if err != nil {
		return store.Lease{}, store.Clock{}, err
	}
	lease, err := decodeLease(key, out.Attributes)
	if err != nil {
		return store.Lease{}, store.Clock{}, err
	}
	return *lease, clock(out.ResultMetadata), nil
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, key store.Key, fence store.Fence, version int64) error {
	c := s.call("Release", key)
	v := values{":epoch": num(fence.Epoch), ":lease_id": str(fence.LeaseID), ":fmt": num(store.Format)}
	change := newChange(v)
	change.set("status", str(string(store.Free)))
	change.setNumber("version", version)
	_, err := c.update(ctx, store.RecordLease, change.text(), ifMine, v, types.ReturnValueNone, withLease)
	return err
}

// Want implements [store.Store].
func (s *Store) Want(ctx context.Context, key store.Key, fence store.Fence, wanted store.Wanted) error {
	c := s.call("Want", key)
	v := values{
		":epoch": num(fence.Epoch), ":lease_id": str(fence.LeaseID), ":status": str(string(store.Held)),
		":fmt": num(store.Format),
	}
	change := newChange(v)
	change.setString("wanted_by", cut(wanted.By, maxWantedBy))
	change.setNumber("wanted_n", wanted.Count)
	_, err := c.update(ctx, store.RecordLease, change.text(), ifSameLease, v, types.ReturnValueNone, withLease)
	return err
}

// A LEASE of more than 1 KiB would make each beat cost 2 WCU.
const (
	maxLease    = 1024
	maxWantedBy = 96

	// What later requests add: wanted_by and its counter, and numbers that were absent or short
	// (beat, version, until_ms, renewed_at).
	leaseReserve = len("wanted_by") + maxWantedBy + len("wanted_n") + 11 + 64
)

// leaseItem is LEASE. What only people read is cut, so that the item is at most maxLease long. With
// a very long name it may be longer, because the protocol's fields are never cut.
func leaseItem(key store.Key, l store.Lease) (item, error) {
	w := toLease(key, l)
	w.WantedBy = cut(w.WantedBy, maxWantedBy)
	it, err := attributevalue.MarshalMap(w)
	if err != nil {
		return nil, err
	}
	over := int(itemSize(it)) + leaseReserve - maxLease
	if over <= 0 {
		return it, nil
	}
	texts := []*string{&w.Reason}
	if w.Holder != nil {
		texts = append(texts, &w.Holder.RunID, &w.Holder.Host)
	}
	for _, text := range texts {
		shorter := cut(*text, max(len(*text)-max(over, 0), 16))
		over -= len(*text) - len(shorter)
		*text = shorter
	}
	return attributevalue.MarshalMap(w)
}

// cut shortens s to at most n bytes, and marks where it ended.
func cut(s string, n int) string {
	const mark = "…"
	if len(s) <= n {
		return s
	}
	return store.CutText(s, n-len(mark)) + mark
}
