package dynamostore

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

// Raise implements [store.Store].
func (s *Store) Raise(
	ctx context.Context, key store.Key, fence store.Fence, holder store.Holder, create bool,
) (store.Head, store.Clock, error) {
	c := s.call("Raise", key)
	by, err := attributevalue.MarshalMap(wireHolder(holder.WithoutProcess()))
	if err != nil {
		return store.Head{}, store.Clock{}, c.refuse(err)
	}
	v := values{":epoch": num(fence.Epoch), ":fmt": num(store.Format)}
	change, condition := newChange(v), ifLower
	change.set("epoch", num(fence.Epoch))
	change.set("lease_id", str(fence.LeaseID))
	change.set("holder", &types.AttributeValueMemberM{Value: by})
	if create {
		condition = ifLowerOrNone
		change.set("fmt", num(store.Format))
		change.setOnce("version", num(0))
	}
	out, err := c.update(ctx, store.RecordHead, change.text(), condition, v, types.ReturnValueAllNew, withHead)
	if err != nil {
		return store.Head{}, store.Clock{}, err
	}
	head, err := decodeHead(key, out.Attributes)
	if err != nil {
		return store.Head{}, store.Clock{}, err
	}
	return *head, clock(out.ResultMetadata), nil
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, key store.Key, commit store.Commit) (store.Clock, error) {
	c := s.call("Commit", key)
	head, err := headItem(key, commit.Fence, commit.Next)
	if err != nil {
		return store.Clock{}, c.refuse(err)
	}
	v := values{
		":epoch": num(commit.Fence.Epoch), ":lease_id": str(commit.Fence.LeaseID),
		":base": num(commit.Base), ":fmt": num(store.Format),
	}
	if len(commit.Writes) > 0 {
		return c.transact(ctx, head, v, commit)
	}
	return c.put(ctx, head, ifMineAtBase, v, withHead)
}

// Unlist implements [store.Store].
func (s *Store) Unlist(ctx context.Context, key store.Key, commitID string) error {
	c := s.call("Unlist", key)
	_, err := c.update(ctx, store.RecordHead, "REMOVE #ns, #name", ifDeletedBy,
		values{
			":commit_id": str(commitID), ":deleted": &types.AttributeValueMemberBOOL{Value: true}, ":fmt": num(store.Format),
		}, types.ReturnValueNone, withHead)
	return err
}
