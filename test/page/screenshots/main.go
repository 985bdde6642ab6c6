// Command screenshots takes the documentation's pictures of the status page, with a demonstration
// store.
//
//	go run ./test/page/screenshots docs/images
package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/checkpoint/statuspage"
	browser "github.com/milepost-dev/milepost/test/page"
)

// maxBytes is the most that a picture may have.
const maxBytes = 200 << 10

var shots = []struct {
	file, path string
	view       browser.View
}{
	{"page-overview.png", "/", browser.View{Width: 1280, Height: 800}},
	{"page-overview-dark.png", "/", browser.View{Width: 1280, Height: 800, Dark: true}},
	{"page-checkpoint.png", "/checkpoints/orders/eu", browser.View{Width: 1280, Height: 1040}},
	{"page-died.png", "/checkpoints/payments/settlement", browser.View{Width: 1280, Height: 640}},
	{"page-diff.png", "/diff/orders/eu?from=101&to=159", browser.View{Width: 1280, Height: 900}},
	{"page-phone.png", "/", browser.View{Width: 390, Height: 844}},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: screenshots DIRECTORY")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := take(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func take(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	st, err := browser.Demo(ctx)
	if err != nil {
		return err
	}
	handler, err := statuspage.Handler(checkpoint.Namespace{Store: st}, &statuspage.Options{ShowState: true, Title: "production"})
	if err != nil {
		return err
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	tabs, stop, err := browser.Browser(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for _, s := range shots {
		if err := s.view.Set(tabs); err != nil {
			return err
		}
		if err := chromedp.Do(tabs, chromedp.Navigate(server.URL+s.path), chromedp.WaitVisible("h1")); err != nil {
			return fmt.Errorf("take %s: %w", s.file, err)
		}
		shot, err := chromedp.Run(tabs, chromedp.CaptureScreenshot())
		if err != nil {
			return fmt.Errorf("take %s: %w", s.file, err)
		}
		if len(shot) > maxBytes {
			return fmt.Errorf("take %s: the picture has %d bytes; the most in the documentation is %d", s.file, len(shot), maxBytes)
		}
		if err := os.WriteFile(filepath.Join(dir, s.file), shot, 0o644); err != nil {
			return err
		}
		fmt.Printf("%s  %d KiB\n", s.file, len(shot)>>10)
	}
	return nil
}
