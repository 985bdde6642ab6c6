package child

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// descendant is a process that this process has started, or that a descendant has started.
type descendant struct {
	pid, parent, group int
	name               string
}

// descendants returns the descendants of this process that have not ended. It sees each one that
// was there all the time, except where a parent ended meanwhile. The kernel shows no process of
// another user where /proc is mounted so.
func descendants() []descendant {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = proc.Close() }()
	names, _ := proc.Readdirnames(-1) // what it read before an error counts
	children := map[int][]descendant{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended
		}
		if d, alive := parseStat(pid, stat); alive {
			children[d.parent] = append(children[d.parent], d)
		}
	}
	found := children[os.Getpid()]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// parseStat reads a line of /proc/PID/stat, and reports whether the process is alive. A process
// whose first thread has ended looks like a zombie while other threads go on.
func parseStat(pid int, stat []byte) (d descendant, alive bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return d, false
	}
	fields := strings.Fields(string(stat[end+1:])) // state, parent, group, …; the 18th counts the threads
	if len(fields) < 18 {
		return d, false
	}
	d = descendant{pid: pid, name: string(stat[open+1 : end])}
	d.parent, _ = strconv.Atoi(fields[1])
	d.group, _ = strconv.Atoi(fields[2])
	threads, _ := strconv.Atoi(fields[17])
	return d, fields[0] != "X" && (fields[0] != "Z" || threads > 1)
}
