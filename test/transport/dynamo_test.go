package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/dynamostore"
	"github.com/milepost-dev/milepost/test/dynamotest"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// wire is a tale's line over HTTP.
type wire struct {
	faults *faulthttp.Transport
	late   faulthttp.Late
	cut    atomic.Bool
}

// httpFault is one way for a request to go wrong.
type httpFault struct {
	plot
	fault func(*wire, *tale) faulthttp.Fault
	again faulthttp.Fault // for the next request of the same operation, if any
	while int             // so many requests after it meet the fault, too
}

func always(f faulthttp.Fault) func(*wire, *tale) faulthttp.Fault {
	return func(*wire, *tale) faulthttp.Fault { return f }
}

func hold(w *wire, _ *tale) faulthttp.Fault     { return w.late.Hold() }
func copyLate(w *wire, _ *tale) faulthttp.Fault { return w.late.Copy() }

// overtaken lets another session take over and save a number of times while the request is in
// flight.
func overtaken(saves int, fault func(*wire) faulthttp.Fault) func(*wire, *tale) faulthttp.Fault {
	return func(w *wire, t *tale) faulthttp.Fault {
		fault := fault(w)
		return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
			res, err := fault(req, send)
			t.overtakenBy(req.Context(), saves)
			return res, err
		}
	}
}

func passed(*wire) faulthttp.Fault {
	return func(req *http.Request, send faulthttp.Send) (*http.Response, error) { return send(req.Context()) }
}
func replyLost(*wire) faulthttp.Fault   { return faulthttp.LoseReply() }
func requestLost(*wire) faulthttp.Fault { return faulthttp.LoseRequest() }
func held(w *wire) faulthttp.Fault      { return w.late.Hold() }

var httpFaults = []httpFault{
	{plot: plot{name: "the reply is lost"}, fault: always(faulthttp.LoseReply())},
	{plot: plot{name: "the request is lost"}, fault: always(faulthttp.LoseRequest())},
	{plot: plot{name: "the connection is refused"}, fault: always(faulthttp.Refuse())},
	{plot: plot{name: "it is throttled"}, fault: always(faulthttp.Error("ThrottlingException"))},
	{plot: plot{name: "500 before it landed"}, fault: always(faulthttp.Error("InternalServerError"))},
	{plot: plot{name: "500 after it landed"}, fault: always(faulthttp.AfterSending(faulthttp.Error("InternalServerError")))},
	{plot: plot{name: "a conflict with a transaction"}, fault: always(faulthttp.Error("TransactionConflictException"))},

	{plot: plot{name: "200 with no body, before it landed"}, fault: always(faulthttp.Page(200, ""))},
	{plot: plot{name: "200 with no body, after it landed"}, fault: always(faulthttp.AfterSending(faulthttp.Page(200, "")))},
	{plot: plot{name: "200 with a page"}, fault: always(faulthttp.Page(200, "<html>Welcome</html>"))},
	{plot: plot{name: "403 with a page, before it landed"}, fault: always(faulthttp.Page(403, "<html>Forbidden</html>"))},
	{plot: plot{name: "404 with a page, after it landed"}, fault: always(faulthttp.AfterSending(faulthttp.Page(404, "<html>Not found</html>")))},
	{plot: plot{name: "400 of another service"}, fault: always(faulthttp.Page(400, `{"code":"ConditionalCheckFailedException"}`))},
	{plot: plot{name: "a proxy answers for a while"}, fault: always(faulthttp.Page(200, "")), while: 5},
	{plot: plot{name: "the keys are not known for a while"}, fault: always(faulthttp.Error("UnrecognizedClientException")), while: 5},
	{plot: plot{name: "access is denied for a while"}, fault: always(faulthttp.Error("AccessDeniedException")), while: 5},
	{plot: plot{name: "the reply is lost and then the keys are not known"},
		fault: always(faulthttp.LoseReply()), again: faulthttp.Error("UnrecognizedClientException")},

	{plot: plot{name: "the reply is lost and the next attempt throttled"},
		fault: always(faulthttp.LoseReply()), again: faulthttp.Error("ThrottlingException")},
	{plot: plot{name: "the request is lost and the next attempt throttled"},
		fault: always(faulthttp.LoseRequest()), again: faulthttp.Error("ThrottlingException")},

	{plot: plot{name: "a copy arrives after the next call", late: afterNextCall}, fault: copyLate},
	{plot: plot{name: "a copy arrives after the next opening", late: afterNextOpening}, fault: copyLate},
	{plot: plot{name: "a copy arrives at the end", late: atTheEnd}, fault: copyLate},
	{plot: plot{name: "it arrives after the next call", late: afterNextCall}, fault: hold},
	{plot: plot{name: "it arrives after the next opening", late: afterNextOpening}, fault: hold},
	{plot: plot{name: "it arrives at the end", late: atTheEnd}, fault: hold},

	{plot: plot{name: "it hangs", impatient: true}, fault: always(faulthttp.Hang())},
	{plot: plot{name: "it hangs after it landed", impatient: true}, fault: always(faulthttp.AfterSending(faulthttp.Hang()))},

	{plot: plot{name: "overtaken", ofFirst: true}, fault: overtaken(0, passed)},
	{plot: plot{name: "overtaken, reply lost", ofFirst: true}, fault: overtaken(0, replyLost)},
	{plot: plot{name: "overtaken, reply lost, and the other saves", ofFirst: true}, fault: overtaken(2, replyLost)},
	{plot: plot{name: "overtaken, request lost", ofFirst: true}, fault: overtaken(0, requestLost)},
	{plot: plot{name: "overtaken, request lost, and the other saves", ofFirst: true}, fault: overtaken(2, requestLost)},
	{plot: plot{name: "overtaken, request lost, and the other saves once", ofFirst: true}, fault: overtaken(1, requestLost)},
	{plot: plot{name: "overtaken, and it arrives after the next call", late: afterNextCall, ofFirst: true}, fault: overtaken(0, held)},
	{plot: plot{name: "overtaken, and it arrives when the other has saved", late: afterNextCall, ofFirst: true}, fault: overtaken(2, held)},

	{plot: plot{name: "overtaken, and the line is cut", impatient: true, cut: true}, fault: overtaken(0, requestLost)},
	{plot: plot{name: "overtaken, and the line is cut once it landed", impatient: true, cut: true}, fault: overtaken(0, replyLost)},
	{plot: plot{name: "overtaken, and it arrives when the cut has ended", impatient: true, cut: true, late: atTheEnd}, fault: overtaken(1, held)},
}

// table is where all tales of a test happen, each under a separate name.
type table struct {
	name, ledger string
	base         *http.Transport
	client       *dynamodb.Client
}

func newTable(t *testing.T) table {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100
	tb := table{name: dynamotest.Table(t), ledger: dynamotest.BareTable(t), base: base, client: dynamotest.ClientOver(t, base)}
	require.NoError(t, dynamostore.CreateTable(t.Context(), tb.client, tb.name, nil))
	return tb
}

func (tb table) tale(t *testing.T, name string) (*tale, *wire) {
	w := &wire{faults: faulthttp.New(tb.base)}
	return &tale{
		key:      store.Key{Namespace: store.DefaultNamespace, Name: name},
		duration: 30 * time.Second,
		line: line{
			faulty: dynamostore.New(dynamotest.ClientOver(t, w.faults), tb.name),
			clean:  dynamostore.New(tb.client, tb.name),
			write: func(cursor string) store.Write {
				return dynamostore.Put(tb.ledger, map[string]types.AttributeValue{
					"pk": &types.AttributeValueMemberS{Value: name}, "sk": &types.AttributeValueMemberS{Value: cursor},
				})
			},
			rows:    func() ([]string, error) { return tb.rows(t.Context(), name) },
			deliver: func(ctx context.Context) error { _, err := w.late.Deliver(ctx); return err },
			heal:    func() { w.cut.Store(false) },
		},
	}, w
}

func (tb table) rows(ctx context.Context, name string) ([]string, error) {
	out, err := tb.client.Query(ctx, &dynamodb.QueryInput{
		TableName: &tb.ledger, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: name}},
	})
	if err != nil {
		return nil, err
	}
	var cursors []string
	for _, item := range out.Items {
		cursors = append(cursors, item["sk"].(*types.AttributeValueMemberS).Value)
	}
	return cursors, nil
}

func renewal(r faulthttp.Request) bool {
	return r.Op == "UpdateItem" && strings.Contains(string(r.Body), "renewed_at")
}

func TestEachRequestOfASessionGoesWrongInTurnOnDynamoDB(t *testing.T) {
	tb := newTable(t)
	plain, w := tb.tale(t, "plain")
	require.NoError(t, plain.tell(t.Context()))
	plain.check(t, "without a fault")
	requests := w.faults.Requests()
	var openings []int // where a session looks at what is there
	for i, r := range requests {
		if r.Op == "Query" {
			openings = append(openings, i)
		}
	}
	require.Len(t, openings, 3)

	inTurn(t, func(yield func(string, func(*testing.T))) {
		for i, f := range httpFaults {
			for _, n := range f.requests(i, len(requests), openings) {
				yield(fmt.Sprintf("%s, request %d, %s", f.name, n, requests[n-1].Op), func(t *testing.T) {
					tale, w := tb.tale(t, fmt.Sprintf("%d/%d", i, n))
					rule := f.lay(w, tale, n)
					tale.mustHold(t)
					assert.Equal(t, 1, rule.Hits(), "the fault met no request")
				})
			}
		}
	})
}

// lay makes the n-th request from now meet the fault.
func (f httpFault) lay(w *wire, t *tale, n int) *faulthttp.Rule {
	f.set(t)
	w.faults.When(func(faulthttp.Request) bool { return w.cut.Load() }, faulthttp.LoseRequest())
	fault := f.fault(w, t)
	rule := w.faults.On(faulthttp.Any, n, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		w.cut.Store(f.cut)
		return fault(req, send)
	})
	if f.while > 0 {
		seen := 0
		w.faults.When(func(faulthttp.Request) bool {
			seen++
			return seen > n && seen <= n+f.while
		}, fault)
	}
	if f.again != nil {
		seen, op, struck := 0, "", false
		w.faults.When(func(r faulthttp.Request) bool {
			seen++
			switch {
			case seen == n:
				op = r.Op
			case seen > n && !struck && r.Op == op:
				struck = true
				return true
			}
			return false
		}, f.again)
	}
	return rule
}

func TestARenewalOfEachSessionGoesWrongOnDynamoDB(t *testing.T) {
	tb := newTable(t)
	inTurn(t, func(yield func(string, func(*testing.T))) {
		for i, f := range httpFaults {
			for session := 1; session <= 3; session++ {
				if f.impatient || f.ofFirst && session > 1 { // no caller waits for a renewal
					continue
				}
				yield(fmt.Sprintf("%s, session %d", f.name, session), func(t *testing.T) {
					tale, w := tb.tale(t, fmt.Sprintf("renewal/%d/%d", i, session))
					tale.late, tale.beat = f.late, 100*time.Millisecond
					met := make(chan struct{})
					tale.pause = func(ctx context.Context, n int) {
						if n != session {
							return
						}
						seen := false
						fault := f.fault(w, tale)
						w.faults.When(func(r faulthttp.Request) bool {
							first := renewal(r) && !seen
							seen = seen || first
							return first
						}, func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
							defer close(met)
							return fault(req, send)
						})
						select {
						case <-met:
						case <-ctx.Done():
						}
					}
					tale.mustHold(t)
				})
			}
		}
	})
}
