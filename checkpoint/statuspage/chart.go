package statuspage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/human"
)

// The charts' coordinates, which the page stretches to the available space.
const chartWidth, chartHeight = 1000.0, 100.0

// chart is one series over time, drawn as a line.
type chart struct {
	Title       string
	First, Last string // values, as text
	Top, Bottom string // of the axis
	From, To    time.Time
	Points      string   // of the polyline
	Begun       []string // where runs began
	Bad         []string // where a version has an error
	Count       int
}

// charts returns the charts of the versions' cursors, if these are numbers, and of their counts.
func charts(versions []*checkpoint.Checkpoint) []chart {
	if len(versions) < 2 {
		return nil
	}
	var all []chart
	cursors := make([]float64, len(versions))
	numeric, failures := true, false
	for i, cp := range versions {
		var err error
		cursors[i], err = strconv.ParseFloat(cp.Cursor, 64)
		numeric = numeric && err == nil && !math.IsInf(cursors[i], 0) && !math.IsNaN(cursors[i])
		failures = failures || cp.Failed > 0
	}
	if numeric {
		all = append(all, draw("Cursor", versions, func(i int) (float64, string) { return cursors[i], numberText(versions[i].Cursor) }))
	}
	counts := func(title string, of func(*checkpoint.Checkpoint) int64) {
		all = append(all, draw(title, versions, func(i int) (float64, string) { n := of(versions[i]); return float64(n), human.Thousands(n) }))
	}
	counts("Processed", func(cp *checkpoint.Checkpoint) int64 { return cp.Processed })
	if failures {
		counts("Failed", func(cp *checkpoint.Checkpoint) int64 { return cp.Failed })
	}
	return all
}

func numberText(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return human.Thousands(n)
	}
	return s
}

func draw(title string, versions []*checkpoint.Checkpoint, value func(int) (float64, string)) chart {
	end := len(versions) - 1
	c := chart{Title: title, From: versions[0].SavedAt, To: versions[end].SavedAt, Count: len(versions)}
	_, c.First = value(0)
	_, c.Last = value(end)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range versions {
		v, text := value(i)
		if v < low {
			low, c.Bottom = v, text
		}
		if v > high {
			high, c.Top = v, text
		}
	}
	var points []string
	held := ""
	span := c.To.Sub(c.From).Seconds()
	for i, cp := range versions {
		x := chartWidth * float64(i) / float64(end)
		if span > 0 {
			x = chartWidth * min(max(cp.SavedAt.Sub(c.From).Seconds()/span, 0), 1)
		}
		y := chartHeight / 2
		if v, _ := value(i); high > low {
			y = chartHeight * (1 - (v/2-low/2)/(high/2-low/2)) // halves: the difference of two floats may be infinite
		}
		at, value := strconv.FormatFloat(x, 'f', 1, 64), strconv.FormatFloat(y, 'f', 1, 64)
		if i > 0 {
			points = append(points, at+","+held) // a checkpoint keeps its value until the next save
		}
		points, held = append(points, at+","+value), value
		if i > 0 && cp.CommitEpoch != versions[i-1].CommitEpoch {
			c.Begun = append(c.Begun, at)
		}
		if cp.LastError != "" {
			c.Bad = append(c.Bad, at)
		}
	}
	c.Points = strings.Join(points, " ")
	return c
}

// Words describes the chart in words.
func (c chart) Words() string {
	return fmt.Sprintf("%s over time: from %s at %s to %s at %s, %d versions", c.Title, c.First, human.Clock(c.From), c.Last, human.Clock(c.To), c.Count)
}
