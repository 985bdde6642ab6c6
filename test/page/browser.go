// Package page shows the status page in a real browser, for its tests and for the program that
// takes the screenshots of the documentation.
//
// The browser is Chromium: the one that CHROMIUM names, else the one on PATH. Without one, the
// error says what to install.
package page

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// findChromium returns the path of the browser.
func findChromium() (string, error) {
	if named := os.Getenv("CHROMIUM"); named != "" {
		return exec.LookPath(named)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium is on PATH, and CHROMIUM names none (Debian: apt-get install chromium)")
}

// Browser starts a headless browser, and returns a context whose tabs [chromedp.NewContext] opens.
// It ends with stop.
func Browser(ctx context.Context) (tabs context.Context, stop func(), err error) {
	path, err := findChromium()
	if err != nil {
		return nil, nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	tabs, closeFirst := chromedp.NewContext(allocator)
	stop = func() { closeFirst(); end() }
	if err := chromedp.Do(tabs); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return tabs, stop, nil
}

// View is how the page is looked at.
type View struct {
	Name          string
	Width, Height int64
	Dark          bool
}

// Views are those that the page is made for.
var Views = []View{
	{Name: "light", Width: 1280, Height: 900},
	{Name: "dark", Width: 1280, Height: 900, Dark: true},
	{Name: "phone", Width: 390, Height: 844},
}

// Set makes a tab look that way.
func (v View) Set(tab context.Context) error {
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	var options []chromedp.EmulateViewportOption
	if v.Width < 600 {
		options = append(options, chromedp.EmulateMobile)
	}
	if err := chromedp.Do(tab, chromedp.EmulateViewport(v.Width, v.Height, options...)); err != nil {
		return err
	}
	_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	return err
}
