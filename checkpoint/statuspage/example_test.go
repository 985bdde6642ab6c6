package statuspage_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	"github.com/milepost-dev/milepost/store/memstore"
)

// A program that has a server shows its checkpoints there, behind the server's own access control.
func ExampleHandler() {
	ctx, jobs := context.Background(), checkpoint.Namespace{Store: memstore.New(nil)}
	job := func(_ context.Context, s *checkpoint.Session[struct{}]) error { s.Mark("ord-1", nil); return nil }
	if err := checkpoint.Run(ctx, jobs, "orders/eu", job, nil); err != nil {
		log.Fatal(err)
	}
	page, err := statuspage.Handler(jobs, &statuspage.Options{Prefix: "/milepost"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/milepost/", page)
	server := httptest.NewServer(mux)
	defer server.Close()

	reply, err := http.Get(server.URL + "/milepost/checkpoints/orders/eu")
	if err != nil {
		log.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		log.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(reply.Status, strings.Contains(string(body), "ord-1"))
	// Output: 200 OK true
}
