package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

// Copy implements [store.Store].
func (s *Store) Copy(ctx context.Context, key store.Key, cp store.Copy) error {
	c := s.call("Copy", key)
	it, err := copyItem(key, cp)
	if err != nil {
		return c.refuse(err)
	}
	_, err = c.put(ctx, it, ifDeadLine,
		values{":commit_epoch": num(cp.CommitEpoch), ":fmt": num(store.Format)}, withCopy(cp.Number))
	var conflict *store.ConflictError
	if errors.As(err, &conflict) && conflict.Copy != nil && conflict.Copy.CommitID == cp.CommitID {
		return nil
	}
	return err
}

// copyAttributes are what KeepBase sets or removes: all except the key and the label.
var copyAttributes = slices.DeleteFunc(attributes[wireCopy](), func(name string) bool {
	return name == "pk" || name == "sk" || name == "label"
})

// KeepBase implements [store.Store].
func (s *Store) KeepBase(ctx context.Context, key store.Key, version store.Version) error {
	c := s.call("KeepBase", key)
	it, err := copyItem(key, store.Copy{Version: version, Kept: true})
	if err != nil {
		return c.refuse(err)
	}
	if err := c.fits(it); err != nil {
		return err
	}
	v := values{}
	change := newChange(v)
	for _, name := range copyAttributes {
		if value, ok := it[name]; ok {
			change.set(name, value)
		} else {
			change.remove(name)
		}
	}
	_, err = c.update(ctx, store.CopyRecord(version.Number), change.text(), ifSameOrDead, v, types.ReturnValueNone, withCopy(version.Number))
	return err
}

// Amend implements [store.Store].
func (s *Store) Amend(ctx context.Context, key store.Key, observed store.Copy, a store.Amendment) error {
	c := s.call("Amend", key)
	v := values{":fmt": num(store.Format)}
	condition := express(copyAsObserved(&observed, v))
	change := newChange(v)
	if a.Label != nil {
		change.setString("label", *a.Label)
	}
	if a.ExpiresAt != nil {
		change.setNumber("expires_at", toSeconds(*a.ExpiresAt))
	}
	if a.Kept != nil {
		change.setBool("kept", *a.Kept)
	}
	_, err := c.update(ctx, store.CopyRecord(observed.Number), change.text(), condition, v, types.ReturnValueNone, withCopy(observed.Number))
	return err
}

// copyAsObserved is the condition that a copy is exactly as observed. It adds its values to v.
func copyAsObserved(c *store.Copy, v values) string {
	seen := newSeen(v)
	seen.is("commit_id", str(c.CommitID))
	seen.isString("label", c.Label)
	seen.isNumber("expires_at", toSeconds(c.ExpiresAt))
	seen.isBool("kept", c.Kept)
	return seen.text()
}

// Remove implements [store.Store].
func (s *Store) Remove(ctx context.Context, key store.Key, observed store.Copy) error {
	c := s.call("Remove", key)
	v := values{":fmt": num(store.Format)}
	condition := express(orAbsent(copyAsObserved(&observed, v)))
	return c.remove(ctx, store.CopyRecord(observed.Number), condition, v, withCopy(observed.Number))
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context, key store.Key, version int64) (store.Copy, error) {
	c := s.call("Version", key)
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: primaryKey(key, store.CopyRecord(version)),
		ConsistentRead:         aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}, c.watched)
	if err != nil {
		return store.Copy{}, c.failed(ctx, err)
	}
	c.read(out.ConsumedCapacity)
	if len(out.Item) == 0 {
		return store.Copy{}, fmt.Errorf("version %d of %s: %w", version, key, store.ErrNotFound)
	}
	cp, err := decodeCopy(key, store.CopyRecord(version), out.Item)
	if err != nil {
		return store.Copy{}, err
	}
	return *cp, nil
}

// versionsPage bounds what a reader that stops early pays for.
const versionsPage = 100

// Versions implements [store.Store].
func (s *Store) Versions(ctx context.Context, key store.Key, from, to int64) iter.Seq2[store.Copy, error] {
	return func(yield func(store.Copy, error) bool) {
		if from < 1 || to > from {
			return
		}
		to = max(to, 1)
		for page, err := range s.call("Versions", key).pages(ctx, &dynamodb.QueryInput{
			ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false),
			Limit:                     aws.Int32(int32(min(from-to+1, versionsPage))),
			KeyConditionExpression:    &bySortKey.text,
			ExpressionAttributeNames:  bySortKey.names,
			ExpressionAttributeValues: values{":pk": str(partition(key)), ":from": str(store.CopyRecord(to)), ":to": str(store.CopyRecord(from))},
		}) {
			if err != nil {
				yield(store.Copy{}, err)
				return
			}
			for _, it := range page.Items {
				cp, err := decodeCopy(key, text(it["sk"]), it)
				if err != nil {
					yield(store.Copy{}, err)
					return
				}
				if !yield(*cp, nil) || cp.Number == to {
					return // without a request for the empty page after the last
				}
			}
		}
	}
}
