package s3archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
	"github.com/milepost-dev/milepost/store/archive/s3archive"
	"github.com/milepost-dev/milepost/test/faulthttp"
)

// cut ends the body of a reply after n bytes of it, in silence or with an error.
func cut(n int, err error) faulthttp.Fault {
	return func(req *http.Request, send faulthttp.Send) (*http.Response, error) {
		res, sendErr := send(req.Context())
		if sendErr != nil || res.StatusCode >= 300 {
			return res, sendErr
		}
		data, readErr := io.ReadAll(res.Body)
		if readErr != nil {
			return nil, readErr
		}
		body := io.Reader(bytes.NewReader(data[:min(n, len(data))]))
		if err != nil && n < len(data) {
			body = io.MultiReader(body, iotest.ErrReader(err))
		}
		res.Body = io.NopCloser(body)
		return res, nil
	}
}

func TestADownloadThatIsCutGoesOnOrFailsAndIsNeverShort(t *testing.T) {
	key := store.Key{Namespace: "default", Name: "orders/eu"}
	for name, err := range map[string]error{"the connection breaks": errors.New("connection reset"), "the body ends early": nil} {
		t.Run(name, func(t *testing.T) {
			streaming := &cutting{}
			a, _ := over(t, streaming)
			state := large(7)
			_, createErr := a.Create(t.Context(), "key", bytes.NewReader(state))
			require.NoError(t, createErr)

			streaming.cut(func() faulthttp.Fault { return cut(3<<20, err) })
			assert.True(t, bytes.Equal(state, content(t, a, "key")), "it goes on where it was cut")
			assert.Greater(t, streaming.replies.Load(), int64(4))

			streaming.cut(func() faulthttp.Fault { return cut(0, err) })
			r, _, openErr := a.Open(t.Context(), "key")
			require.NoError(t, openErr)
			_, readErr := io.ReadAll(r)
			assert.ErrorIs(t, readErr, store.ErrUnavailable)
			assert.NoError(t, r.Close())

			streaming.cut(nil)
			w, bodyErr := archive.CreateBody(t.Context(), a, key, archive.BodyID{Home: "0a1b2c3d", Version: 3, CommitID: "c"})
			require.NoError(t, bodyErr)
			_, bodyErr = w.Write(state)
			require.NoError(t, bodyErr)
			saved, bodyErr := w.Finish()
			require.NoError(t, bodyErr)
			streaming.cut(func() faulthttp.Fault { return cut(1, err) })
			br, bodyErr := archive.OpenBody(t.Context(), a, key, &store.Version{Number: 3, Content: store.Content{State: &saved}})
			require.NoError(t, bodyErr)
			_, bodyErr = io.ReadAll(br)
			require.NoError(t, br.Close())
			require.ErrorIs(t, bodyErr, store.ErrUnavailable)
			assert.NotErrorIs(t, bodyErr, store.ErrBadRecord, "nothing is wrong with the body")
			assert.ErrorContains(t, bodyErr, "version 3 of checkpoint orders/eu")
		})
	}
}

// cutting cuts the replies to downloads. It is no [faulthttp.Transport], whose replies are whole.
type cutting struct {
	fault   atomic.Pointer[faulthttp.Fault]
	replies atomic.Int64
}

func (c *cutting) cut(make func() faulthttp.Fault) {
	if make == nil {
		c.fault.Store(nil)
		return
	}
	fault := make()
	c.fault.Store(&fault)
}

func (c *cutting) RoundTrip(req *http.Request) (*http.Response, error) {
	send := func(context.Context) (*http.Response, error) { return http.DefaultTransport.RoundTrip(req) }
	if fault := c.fault.Load(); fault != nil && req.Method == http.MethodGet {
		c.replies.Add(1)
		return (*fault)(req, send)
	}
	return send(req.Context())
}

func (c *cutting) CloseIdleConnections() {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestAnObjectThatChangesDuringItsDownloadIsAnError(t *testing.T) {
	streaming := &cutting{}
	a, p := over(t, streaming)
	other, err := s3archive.New(p.plain, p.bucket, p.prefix, nil)
	require.NoError(t, err)
	_, err = a.Create(t.Context(), "key", strings.NewReader("the one that was begun"))
	require.NoError(t, err)
	streaming.cut(func() faulthttp.Fault { return cut(8, errors.New("connection reset")) })
	r, _, err := a.Open(t.Context(), "key")
	require.NoError(t, err)
	require.NoError(t, other.Delete(t.Context(), "key"))
	_, err = other.Create(t.Context(), "key", strings.NewReader("another, just as long."))
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	assert.ErrorIs(t, err, archive.ErrPrecondition)
	assert.NoError(t, r.Close())
}
