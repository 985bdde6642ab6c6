package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"
)

//go:embed costs.md.tmpl
var page string

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var (
	rates = []float64{0.01, 0.1, 1, 10, 100}
	sizes = []int64{400, kib, 4 * kib, 64 * kib, kib * kib}
)

const mostInline = 400*kib - aroundState // bytes of a state that an item can hold

type saveRow struct{ State, Archive, Units, Puts, Table, Bucket string }

type rateRow struct {
	Rate  string
	Cells []string
}

type monitorRow struct{ Checkpoints, Minute, Five, Hour string }

func write(w io.Writer) error {
	t, err := template.New("costs").Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, map[string]any{
		"AsOf": pricesAsOf, "Around": aroundState, "Inline": sized(inlineLimit), "Beat": beatEvery, "Reads": monitorReads,
		"BeatMonth": dollars(month / beatEvery * writeUnits), "Alarms": dollars(6 * alarms),
		"Sizes": sizeNames(), "Saves": saveRows(), "Monitor": monitorRows(), "Example": example(),
		"Without": rateRows(false, false), "Sessions": rateRows(true, false), "Every": rateRows(true, true),
	})
}

func sizeNames() (names []string) {
	for _, size := range sizes {
		names = append(names, sized(size))
	}
	return names
}

func saveRows() (rows []saveRow) {
	for _, size := range sizes {
		for _, archive := range []string{"none", "mirror=sessions", "mirror=every"} {
			if archive == "none" && size > mostInline {
				continue
			}
			s := saveOf(size, archive != "none", archive == "mirror=every")
			rows = append(rows, saveRow{
				sized(size), archive, fmt.Sprint(s.writeUnits), fmt.Sprint(s.puts),
				dollars(1e6 * float64(s.writeUnits) * writeUnits), dollars(1e6 * float64(s.puts) * puts),
			})
		}
	}
	return rows
}

func rateRows(archive, mirrored bool) (rows []rateRow) {
	for _, rate := range rates {
		row := rateRow{Rate: fmt.Sprint(rate)}
		for _, size := range sizes {
			cell := "–"
			if archive || size <= mostInline {
				writes, kept, bucket := saveOf(size, archive, mirrored).monthly(rate)
				cell = dollars(writes + kept)
				if bucket > 0 {
					cell += " (" + dollars(bucket) + ")"
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

func monitorRows() (rows []monitorRow) {
	for _, n := range []int64{100, 1000, 10_000, 100_000, 1_000_000} {
		cost := func(every float64) string { return dollars(month / every * float64(n) * monitorReads * readUnits) }
		rows = append(rows, monitorRow{thousands(n), cost(60), cost(300), cost(3600)})
	}
	return rows
}

// example adds up the costs of a platform of ordinary size.
func example() string {
	const jobs, hours, state = 200, 1.5, 2 * kib
	running := jobs * hours / 24 // jobs at any one time
	s := saveOf(state, true, true)
	writes, kept, bucket := s.monthly(running * 0.1)
	beats := running * month / beatEvery * writeUnits
	monitor := month / 60 * float64(jobs) * monitorReads * readUnits
	return fmt.Sprintf("%d jobs that each run for %v hours a day, with a save every 10 s, %s of state, and an archive\n"+
		"that mirrors every version: table $%s, kept versions $%s, archive $%s, heartbeats $%s, the\n"+
		"monitor every minute $%s, six alarms $%s. In all $%s a month without metrics, and with\n`&mirror=sessions` $%s.\n",
		jobs, hours, sized(state), dollars(writes), dollars(kept), dollars(bucket), dollars(beats), dollars(monitor), dollars(6*alarms),
		dollars(writes+kept+bucket+beats+monitor+6*alarms), dollars(writes+kept+beats+monitor+6*alarms))
}

func sized(n int64) string {
	switch {
	case n >= kib*kib:
		return fmt.Sprintf("%d MiB", n/kib/kib)
	case n >= kib:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d bytes", n)
}

// dollars formats an amount with at least two significant digits, and without cents from 100 on.
func dollars(d float64) string {
	switch {
	case d >= 100:
		return thousands(int64(d + 0.5))
	case d >= 0.095 || d == 0:
		return fmt.Sprintf("%.2f", d)
	}
	return fmt.Sprintf("%.2g", d)
}

func thousands(n int64) string {
	digits := fmt.Sprint(n)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, groups...), ",")
}
