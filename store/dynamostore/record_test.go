package dynamostore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
)

var aKey = store.Key{Namespace: "default", Name: "orders/eu"}

// records has one sound item of each kind, with every attribute set, but that the state lies
// in HEAD, and in a body in its copy.
func records(t testing.TB) map[string]item {
	t.Helper()
	holder := store.Holder{ID: "i", Host: "h", PID: 7, RunID: "r", Boot: "b", PIDSpace: "s", PIDStart: "t", TimeSpace: "u"}
	at := time.Date(2026, 3, 1, 12, 30, 15, 0, time.UTC)
	v := store.Version{
		Number: 7, CommitID: "c", CommitEpoch: 3, By: holder, SavedAt: at, Content: store.Content{
			Cursor:    "x",
			Finished:  []store.Range{{First: "a", Last: "b"}},
			Processed: 5, Failed: 1,
			State:    &store.State{Data: []byte("{}"), ContentType: "text/plain", Encoding: "zstd", Size: 4, SHA256: make([]byte, 32)},
			Identity: "i", Schema: 2,
		},
		LastError: "e",

		Ended: store.EndedDone, Deleted: true, RestoredFrom: 2, Reason: "why", Born: 1, Starts: []int64{1, 5},
		ArchivedThrough: 6,
	}
	head, err := attributevalue.MarshalMap(wireHead{
		wireKey: keyOf(aKey, store.RecordHead), wireVersion: toVersion(v), Epoch: 9, LeaseID: "l", Holder: toHolder(holder),
		NS: aKey.Namespace, Name: aKey.Name,
	})
	require.NoError(t, err)
	inBody := *v.State
	inBody.Data, inBody.Body = nil, "body/default/orders/eu/7-c"
	v.State = &inBody
	copied, err := copyItem(aKey, store.Copy{Version: v, ExpiresAt: at, Label: "savepoint", Kept: true})
	require.NoError(t, err)
	lease, err := leaseItem(aKey, store.Lease{
		Epoch: 9, LeaseID: "l", Beat: 3, Status: store.Held, Holder: holder, Duration: time.Minute,
		Until: store.Clock{Wall: at}, AcquiredAt: at, RenewedAt: at,
		Reason: "why", Wanted: &store.Wanted{By: "w", Count: 2}, Version: 7,
	})
	require.NoError(t, err)
	expect, err := attributevalue.MarshalMap(toExpect(aKey, store.Expectation{Every: time.Hour, Grace: time.Minute, SetBy: "ops", SetAt: at}))
	require.NoError(t, err)
	return map[string]item{store.RecordHead: head, store.CopyRecord(7): copied, store.RecordLease: lease, store.RecordExpect: expect}
}

func decodeAny(sk string, it item) (any, error) {
	switch sk {
	case store.RecordHead:
		return decodeHead(aKey, it)
	case store.RecordLease:
		return decodeLease(aKey, it)
	case store.RecordExpect:
		return decodeExpect(aKey, it)
	}
	return decodeCopy(aKey, sk, it)
}

// clone is deep enough for changes of one attribute.
func clone(it item) item {
	out := item{}
	for name, value := range it {
		out[name] = value
	}
	return out
}

func requireBad(t *testing.T, err error, sk string) {
	t.Helper()
	var bad *store.BadRecordError
	require.ErrorAs(t, err, &bad)
	require.ErrorIs(t, err, store.ErrBadRecord)
	assert.Equal(t, sk, bad.Record)
	assert.Equal(t, aKey, bad.Key)
}

func TestSoundRecordsAreRead(t *testing.T) {
	for sk, it := range records(t) {
		_, err := decodeAny(sk, it)
		require.NoError(t, err, sk)
	}
}

func TestEveryAttributeIsSetInTheRecordsOfTheseTests(t *testing.T) {
	all := records(t)
	assert.Len(t, all[store.RecordHead], len(attributes[wireHead]())-1, "all but the body")
	assert.Len(t, all[store.CopyRecord(7)], len(attributes[wireCopy]())-1, "all but the state")
	assert.Len(t, all[store.RecordLease], len(attributes[wireLease]()))
	assert.Len(t, all[store.RecordExpect], len(attributes[wireExpect]()))
}

func TestAnAttributeOfAnotherTypeOrWithANullIsABadRecord(t *testing.T) {
	others := []types.AttributeValue{
		&types.AttributeValueMemberS{Value: "text"}, &types.AttributeValueMemberS{Value: "7"},
		&types.AttributeValueMemberN{Value: "1.5"}, &types.AttributeValueMemberN{Value: "7.0"},
		&types.AttributeValueMemberN{Value: "1E3"}, &types.AttributeValueMemberN{Value: "9223372036854775808"},
		&types.AttributeValueMemberB{Value: []byte("7")}, &types.AttributeValueMemberBOOL{Value: false},
		&types.AttributeValueMemberNULL{Value: true}, &types.AttributeValueMemberL{}, &types.AttributeValueMemberM{},
		&types.AttributeValueMemberSS{Value: []string{"7"}}, &types.AttributeValueMemberNS{Value: []string{"7"}},
		&types.AttributeValueMemberBS{Value: [][]byte{{7}}}, nil,
	}
	for sk, sound := range records(t) {
		for name, was := range sound {
			for _, other := range others {
				if reflect.TypeOf(was) == reflect.TypeOf(other) && !strings.ContainsAny(numberOf(other), ".E98") {
					continue // the same type, and another value of it
				}
				it := clone(sound)
				it[name] = other
				_, err := decodeAny(sk, it)
				require.Error(t, err, "%s of %s as %T %v", name, sk, other, other)
				requireBad(t, err, sk)
			}
		}
	}
}

func numberOf(v types.AttributeValue) string {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		return n.Value
	}
	return ""
}

func TestAMissingAttributeThatIsRequiredIsABadRecord(t *testing.T) {
	all := records(t)
	for sk, required := range map[string][]string{
		store.RecordHead:    {"pk", "sk", "fmt", "version", "epoch", "lease_id", "commit_id", "commit_epoch", "born", "ns", "name", "state", "sha"},
		store.CopyRecord(7): {"pk", "sk", "fmt", "version", "commit_id", "commit_epoch", "born", "body", "sha"},
		store.RecordLease:   {"pk", "sk", "fmt", "epoch", "lease_id", "beat", "status", "duration_ms"},
		store.RecordExpect:  {"pk", "sk", "fmt", "ns", "name", "every_ms"},
	} {
		for _, name := range required {
			it := clone(all[sk])
			delete(it, name)
			_, err := decodeAny(sk, it)
			require.Error(t, err, "%s without %s", sk, name)
			requireBad(t, err, sk)
		}
	}
}

func TestAStateThatLiesInTwoPlacesIsABadRecord(t *testing.T) {
	all := records(t)
	for from, sk := range map[string]string{"body": store.RecordHead, "state": store.CopyRecord(7)} {
		it, other := clone(all[sk]), all[store.CopyRecord(7)]
		if from == "state" {
			other = all[store.RecordHead]
		}
		it[from] = other[from]
		_, err := decodeAny(sk, it)
		requireBad(t, err, sk)
	}
}

func TestAnUnknownAttributeIsABadRecordWhereverItIs(t *testing.T) {
	for sk, sound := range records(t) {
		for _, name := range []string{"future", "Version", "EPOCH", ""} {
			it := clone(sound)
			it[name] = num(1)
			_, err := decodeAny(sk, it)
			requireBad(t, err, sk)
		}
	}
	it := records(t)[store.RecordLease]
	it["holder"].(*types.AttributeValueMemberM).Value["future"] = num(1)
	_, err := decodeAny(store.RecordLease, it)
	requireBad(t, err, store.RecordLease)
}

func TestARecordOfANewerFormatSaysSoWhateverElseIsInIt(t *testing.T) {
	for sk := range records(t) {
		for _, it := range []item{{"fmt": num(2)}, {"fmt": num(2), "version": str("seven"), "future": num(1)}} {
			_, err := decodeAny(sk, it)
			require.ErrorIs(t, err, store.ErrNewerFormat)
			requireBad(t, err, sk)
		}
	}
}

func TestValuesThatCannotBeAreABadRecord(t *testing.T) {
	all := records(t)
	for _, c := range []struct{ sk, name, value string }{
		{store.RecordHead, "epoch", "0"}, {store.RecordHead, "version", "-1"}, {store.RecordHead, "version", "0"}, {store.RecordHead, "processed", "-1"}, {store.RecordHead, "failed", "-1"},
		{store.RecordHead, "born", "8"}, {store.RecordHead, "commit_epoch", "-3"}, {store.RecordHead, "fmt", "0"},
		{store.RecordLease, "duration_ms", "0"}, {store.RecordLease, "duration_ms", "9223372036854775807"}, {store.RecordLease, "epoch", "-1"}, {store.RecordLease, "beat", "-1"},
		{store.RecordExpect, "every_ms", "9223372036854775807"}, {store.RecordExpect, "grace_ms", "-1"},
		{store.CopyRecord(7), "version", "8"}, {store.CopyRecord(7), "version", "0"},
	} {
		it := clone(all[c.sk])
		it[c.name] = &types.AttributeValueMemberN{Value: c.value}
		_, err := decodeAny(c.sk, it)
		require.Error(t, err, "%s of %s is %s", c.name, c.sk, c.value)
		requireBad(t, err, c.sk)
	}
	for _, c := range []struct {
		sk, name string
		value    types.AttributeValue
	}{
		{store.RecordHead, "sha", &types.AttributeValueMemberB{Value: []byte("short")}},
		{store.RecordHead, "fin", &types.AttributeValueMemberL{Value: []types.AttributeValue{str("half a range")}}},
		{store.RecordHead, "name", str("another/checkpoint")},
		{store.RecordHead, "pk", str("default#another")},
		{store.CopyRecord(7), "sk", str(store.CopyRecord(8))},
		{store.RecordLease, "status", str("waiting")},
	} {
		it := clone(all[c.sk])
		it[c.name] = c.value
		_, err := decodeAny(c.sk, it)
		requireBad(t, err, c.sk)
	}
}

func TestAnUnknownKindOfRecordBesideHeadIsABadRecord(t *testing.T) {
	it := records(t)[store.RecordHead]
	it["sk"] = str("GUARD")
	requireBad(t, collect(&store.Records{}, aKey, it), "GUARD")
}

func TestWhatIsReadIsWrittenAndReadAsTheSame(t *testing.T) {
	for seed := range uint64(2000) {
		readChanged(t, seed, uint8(seed%4))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint64(0), uint8(0))
	f.Fuzz(readChanged)
}

// readChanged reads sound records with some attributes changed into anything. It must
// not panic, and what it accepts it must write and read again as the same.
func readChanged(t *testing.T, seed uint64, changes uint8) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	for sk, it := range records(t) {
		for range changes {
			it[randomName(r, it)] = randomValue(r, 0)
		}
		got, err := decodeAny(sk, it)
		if err != nil {
			if !errors.Is(err, store.ErrBadRecord) {
				t.Fatalf("seed %d, %s: %v is no bad record", seed, sk, err)
			}
			continue
		}
		again, err := encodeAny(sk, got)
		if err != nil {
			t.Fatalf("seed %d, %s: was read and cannot be written: %v", seed, sk, err)
		}
		second, err := decodeAny(sk, again)
		if err != nil {
			t.Fatalf("seed %d, %s: was written and cannot be read: %v", seed, sk, err)
		}
		if h, ok := got.(*store.Head); ok { // a commit's HEAD is listed, and held by who commits
			h.Holder, h.Listed = h.By, true
		}
		if !reflect.DeepEqual(plain(got), plain(second)) {
			t.Fatalf("seed %d, %s: read %+v, and then %+v", seed, sk, got, second)
		}
	}
}

// plain makes an empty list none, as it is once written.
func plain(record any) any {
	var v *store.Version
	switch r := record.(type) {
	case *store.Head:
		v = &r.Version
	case *store.Copy:
		v = &r.Version
	default:
		return record
	}
	if len(v.Starts) == 0 {
		v.Starts = nil
	}
	return record
}

func encodeAny(sk string, record any) (item, error) {
	switch r := record.(type) {
	case *store.Head:
		return headItem(aKey, r.Fence, r.Version)
	case *store.Lease:
		return leaseItem(aKey, *r)
	case *store.Expectation:
		return attributevalue.MarshalMap(toExpect(aKey, *r))
	case *store.Copy:
		return copyItem(aKey, *r)
	}
	return nil, fmt.Errorf("%s is a %T", sk, record)
}

func randomName(r *rand.Rand, it item) string {
	names := make([]string, 0, len(it))
	for _, all := range [][]string{attributes[wireHead](), attributes[wireLease](), attributes[wireCopy](), attributes[wireExpect]()} {
		names = append(names, all...)
	}
	if r.IntN(10) == 0 {
		return fmt.Sprint("x", r.IntN(3))
	}
	return names[r.IntN(len(names))]
}

func randomValue(r *rand.Rand, depth int) types.AttributeValue {
	numbers := []string{"0", "1", "-1", "7", "8", "1.5", "1E400", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "", "x"}
	texts := []string{"", "7", "held", "free", "x", store.CopyRecord(7), "default", "orders/eu"}
	switch r.IntN(10) {
	case 0, 1, 2:
		return &types.AttributeValueMemberN{Value: numbers[r.IntN(len(numbers))]}
	case 3, 4:
		return &types.AttributeValueMemberS{Value: texts[r.IntN(len(texts))]}
	case 5:
		return &types.AttributeValueMemberB{Value: make([]byte, r.IntN(40))}
	case 6:
		return &types.AttributeValueMemberBOOL{Value: r.IntN(2) == 0}
	case 7:
		return &types.AttributeValueMemberNULL{Value: r.IntN(2) == 0}
	case 8:
		list := &types.AttributeValueMemberL{}
		for range r.IntN(4) {
			if depth < 3 {
				list.Value = append(list.Value, randomValue(r, depth+1))
			}
		}
		return list
	}
	m := &types.AttributeValueMemberM{Value: item{}}
	for _, name := range []string{"id", "host", "pid", "boot", "x"} {
		if depth < 3 && r.IntN(3) == 0 {
			m.Value[name] = randomValue(r, depth+1)
		}
	}
	return m
}

func TestItemSizeCountsByTheServicesRules(t *testing.T) {
	for _, c := range []struct {
		value types.AttributeValue
		size  int64
	}{
		{str(""), 0}, {str("é"), 2}, {&types.AttributeValueMemberB{Value: make([]byte, 10)}, 10},
		{num(0), 1}, {num(7), 2}, {num(12), 2}, {num(123), 3}, {num(1200), 2}, {num(-12), 3}, {num(1<<63 - 1), 11},
		{&types.AttributeValueMemberBOOL{}, 1}, {&types.AttributeValueMemberNULL{}, 1},
		{&types.AttributeValueMemberL{}, 3}, {&types.AttributeValueMemberL{Value: []types.AttributeValue{str("ab"), num(1)}}, 3 + 1 + 2 + 1 + 2},
		{&types.AttributeValueMemberM{}, 3}, {&types.AttributeValueMemberM{Value: item{"id": str("ab")}}, 3 + 1 + 2 + 2},
	} {
		assert.Equal(t, c.size+4, itemSize(item{"name": c.value}), "%T %v", c.value, c.value)
	}
}
