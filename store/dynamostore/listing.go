package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/cenkalti/backoff/v5"

	"github.com/milepost-dev/milepost/store"
)

// indexName is the keys-only index on ns and name, which has HEAD and EXPECT.
const indexName = "names"

// Names implements [store.Store]. The price of a page is that of its keys.
func (s *Store) Names(ctx context.Context, namespace, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		query, ok := namesQuery(namespace, prefix, after)
		if !ok {
			return
		}
		last := after
		c := s.call("Names", store.Key{Namespace: namespace, Name: prefix})
		for page, err := range c.pages(ctx, query) {
			if err != nil {
				yield("", c.unlistable(ctx, err))
				return
			}
			for _, it := range page.Items {
				name := text(it["name"])
				if name <= last || !strings.HasPrefix(name, prefix) {
					continue // an EXPECT after its HEAD, or a name that the query could not leave out
				}
				last = name
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}

// unlistable returns the error of a listing. A table without the index may be another program's, and
// only a request for an item tells.
func (c *call) unlistable(ctx context.Context, err error) error {
	if !errors.Is(err, errNoIndex) {
		return err
	}
	_, probed := c.store.Version(ctx, c.key, 1)
	if e, ok := errors.AsType[*requestError](probed); ok && errors.Is(probed, errOtherKeys) {
		return &requestError{what: c.what(), kind: e.kind, err: e.err}
	}
	return err
}

// namesQuery is a query for the names that begin with prefix and come after the name after. It
// reports false if there can be none. A key condition can be a prefix or a bound, so for both it is
// a range: no name with the prefix is above the prefix followed by the highest character, up to the
// longest length. Half a character is not valid text, so the caller has to compare that part.
func namesQuery(namespace, prefix, after string) (*dynamodb.QueryInput, bool) {
	if after > prefix && !strings.HasPrefix(after, prefix) {
		return nil, false // after comes after all of them
	}
	prefix, after = wholeCharacters(prefix), wholeCharacters(after)
	condition, v := byNamespace, values{":ns": str(namespace)}
	switch {
	case after == "" && prefix == "":
	case prefix == "":
		condition, v[":after"] = afterName, str(after)
	case after <= prefix:
		condition, v[":prefix"] = byPrefix, str(prefix)
	default:
		condition, v[":after"] = betweenNames, str(after)
		v[":last"] = str(prefix + strings.Repeat(string(utf8.MaxRune), max(store.MaxName-len(prefix), 0)/utf8.UTFMax+1))
	}
	index := indexName
	return &dynamodb.QueryInput{
		IndexName:                 &index,
		KeyConditionExpression:    &condition.text,
		ExpressionAttributeNames:  condition.names,
		ExpressionAttributeValues: v,
	}, true
}

// wholeCharacters is s up to the first byte that is not valid UTF-8.
func wholeCharacters(s string) string {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			return s[:i]
		}
	}
	return s
}

// Peek implements [store.Store]. If some records are damaged, it returns the others together with
// the error that names the damaged ones.
func (s *Store) Peek(ctx context.Context, keys []store.Key) ([]store.Records, error) {
	if len(keys) > store.MaxPeek {
		return nil, fmt.Errorf("peek at %d keys: the limit is %d", len(keys), store.MaxPeek)
	}
	if len(keys) == 0 {
		return []store.Records{}, nil
	}
	c := s.call("Peek", keys[0])
	at := make(map[string]int, len(keys)) // by partition key
	var wanted []item
	for i, key := range keys {
		if _, ok := at[partition(key)]; ok {
			continue
		}
		at[partition(key)] = i
		for _, sk := range []string{store.RecordExpect, store.RecordHead, store.RecordLease} {
			wanted = append(wanted, primaryKey(key, sk))
		}
	}
	found := make([]store.Records, len(keys))
	var damaged []error
	read := func() (struct{}, error) {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems:           map[string]types.KeysAndAttributes{s.table: {Keys: wanted}},
			ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		}, c.watched)
		if err != nil {
			return struct{}{}, backoff.Permanent(c.failed(ctx, err))
		}
		for _, used := range out.ConsumedCapacity {
			c.read(&used)
		}
		for _, items := range out.Responses {
			for _, it := range items {
				i, ok := at[text(it["pk"])]
				if !ok {
					continue
				}
				if err := collect(&found[i], keys[i], it); err != nil {
					damaged = append(damaged, err)
				}
			}
		}
		for i := range found {
			found[i].Clock = clock(out.ResultMetadata)
		}
		wanted = nil
		for _, rest := range out.UnprocessedKeys {
			wanted = append(wanted, rest.Keys...)
		}
		if len(wanted) > 0 {
			return struct{}{}, fmt.Errorf("%s: %w: %d records were not read", c.what(), store.ErrThrottled, len(wanted))
		}
		return struct{}{}, nil
	}
	if _, err := backoff.Retry(ctx, read); err != nil {
		return nil, err
	}
	for i, key := range keys { // a key may be there twice
		found[i] = found[at[partition(key)]]
	}
	return found, errors.Join(damaged...)
}
