package faulthttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/test/faulthttp"
)

func TestAProxyPutsOtherProcessesBehindTheFaults(t *testing.T) {
	landed := make(chan string, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		landed <- r.Host + " " + string(body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "condition failed")
	}))
	defer endpoint.Close()
	faults := faulthttp.New(nil)
	proxy := faulthttp.Proxy(t, endpoint.URL, faults)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	put := func(ctx context.Context, body string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, proxy, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		said, err := io.ReadAll(res.Body)
		assert.Equal(t, "condition failed", string(said))
		return res, err
	}
	faults.On(faulthttp.Any, faulthttp.Each, faulthttp.MoveDate(time.Hour))
	faults.On("PutItem", 2, faulthttp.LoseReply())
	faults.On("PutItem", 3, faulthttp.Hang())

	res, err := put(t.Context(), "first")
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, res.StatusCode)
	date, err := http.ParseTime(res.Header.Get("Date"))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), date, time.Minute)
	host := strings.TrimPrefix(proxy, "http://")
	assert.Equal(t, host+" first", <-landed, "the request keeps the host that it was signed for")

	_, err = put(t.Context(), "second")
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, host+" second", <-landed)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = put(ctx, "third")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Empty(t, landed)
}
