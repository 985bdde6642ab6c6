// Package wal is a model of one SQLite database that is used as two: by a second name, which gives
// it a second write-ahead log, and by a log that is removed under a job that runs. It shows why both
// are refused, and not handled.
//
// docs/model.md says which function of the project each step stands for, and what the model leaves
// out.
package wal

import "github.com/milepost-dev/milepost/test/model/search"

const jobs = 2

// Options say what may happen, and what the protocol is searched without.
type Options struct {
	Linked  bool // the main file has a second name
	Removal bool // someone removes the log, once
	Without Rule
}

// Rule is a rule of the engine, or several. A search without one must find what breaks.
type Rule uint8

const (
	oneName          Rule = 1 << iota // a file with a second name is not opened for writing
	watchingTheLog                    // a connection whose log is not the file any more writes nothing
	closingInSilence                  // and checkpoints nothing into the main file when it closes
)

// Content is what a database holds: the records of one checkpoint.
type Content struct{ Epoch, Holder, Version uint8 }

// Log is a write-ahead log: the content as of its end.
type Log struct {
	Content
	Number uint8 // which log it is; 0: there is none
}

// Job is one job, which opens the database by one of its names.
type Job struct {
	At    place
	Name  uint8
	Log   Log // that its connection writes to; it may have been removed
	Epoch uint8
}

type place uint8

const (
	idle place = iota
	connected
	holding
	over
)

// State is the files, the jobs, and the truth.
type State struct {
	Main    Content
	Logs    [2]Log // by the name of the file that they lie next to
	Made    uint8  // how many logs were made
	Jobs    [jobs]Job
	Removed bool
	Acked   uint8 // the newest version that was acknowledged
	Broken  string
}

const mostVersions = 3

type explorer struct {
	o    Options
	from State
	step func(State, search.What)
}

// Model returns the model.
func (o Options) Model() *search.Model[State] {
	return &search.Model[State]{
		Steps: func(from State, step func(State, search.What)) {
			x := &explorer{o, from, step}
			x.world()
			for i := range uint8(jobs) {
				x.job(i)
			}
		},
		Broken: func(s State) string { return s.Broken },
	}
}

func (x *explorer) without(r Rule) bool { return x.o.Without&r != 0 }

// world removes the log of the first name, and with it what was acknowledged and is only there.
func (x *explorer) world() {
	s := x.from
	if !x.o.Removal || s.Removed || s.Logs[0].Number == 0 {
		return
	}
	s.Removed, s.Logs[0] = true, Log{}
	s.Acked = s.Main.Version
	x.step(s, search.What{By: "world", Did: "removes the log"})
}

// view is what the connection of a job reads: its log, else the main file.
func (s *State) view(j *Job) Content {
	if j.Log.Number != 0 {
		return j.Log.Content
	}
	if shared := s.Logs[j.Name]; shared.Number != 0 {
		return shared.Content
	}
	return s.Main
}

// current reports whether the job's log is the one that lies next to the file.
func (s *State) current(j *Job) bool { return j.Log.Number == s.Logs[j.Name].Number }

// write appends to the job's log, which it makes if there is none.
func (s *State) write(j *Job, c Content) {
	if j.Log.Number == 0 && s.Logs[j.Name].Number == 0 {
		s.Made++
		s.Logs[j.Name] = Log{Number: s.Made}
	}
	if j.Log.Number == 0 {
		j.Log = s.Logs[j.Name]
	}
	j.Log.Content = c
	for i := range s.Jobs { // connections to one log see one another's writes
		if other := &s.Jobs[i]; other.Log.Number == j.Log.Number {
			other.Log.Content = c
		}
	}
	if s.Logs[j.Name].Number == j.Log.Number {
		s.Logs[j.Name].Content = c
	}
}

func (x *explorer) job(i uint8) {
	did := func(s State, what string, detail uint8) {
		x.step(s, search.What{By: "job", Number: i, Did: what, Detail: detail})
	}
	s := x.from
	j := &s.Jobs[i]
	if j.At == connected || j.At == holding {
		t := x.from
		t.Jobs[i] = Job{At: over}
		did(t, "crashes", 0)
	}
	switch j.At {
	case idle:
		if x.o.Linked && !x.without(oneName) {
			j.At = over
			did(s, "is refused: the file has a second name", 0)
			return
		}
		names := uint8(1)
		if x.o.Linked {
			names = 2
		}
		for name := range names {
			t := x.from
			t.Jobs[i] = Job{At: connected, Name: name, Log: t.Logs[name]}
			did(t, "opens the database by name", name+1)
		}
	case connected:
		x.acquire(i, did)
	case holding:
		x.save(i, did)
		x.close(i, did)
	}
}

// acquire takes a lease that is free, or whose holder is gone.
func (x *explorer) acquire(i uint8, did func(State, string, uint8)) {
	s := x.from
	j := &s.Jobs[i]
	c := s.view(j)
	if c.Holder != 0 && s.Jobs[c.Holder-1].At != over {
		return
	}
	if !x.usable(&s, j) {
		*j = Job{At: over}
		did(s, "is refused: its log was removed", 0)
		return
	}
	c.Epoch++
	c.Holder = i + 1
	s.write(j, c)
	j.At, j.Epoch = holding, c.Epoch
	for other := range s.Jobs {
		if uint8(other) != i && s.Jobs[other].At == holding && !s.Removed {
			s.Broken = "two jobs hold the lease"
		}
	}
	if c.Version < s.Acked {
		s.Broken = "a job begins on less than was acknowledged"
	}
	did(s, "acquires the lease, epoch", c.Epoch)
}

// usable is sqlitestore.Store.moved: the files are the ones that the connection first had.
func (x *explorer) usable(s *State, j *Job) bool {
	return s.current(j) || j.Log.Number == 0 || x.without(watchingTheLog)
}

func (x *explorer) save(i uint8, did func(State, string, uint8)) {
	s := x.from
	j := &s.Jobs[i]
	c := s.view(j)
	switch {
	case !x.usable(&s, j):
		x.leave(&s, j, did, "is refused: its log was removed")
	case c.Epoch != j.Epoch:
		x.leave(&s, j, did, "is refused: it is fenced")
	case c.Version < mostVersions:
		c.Version++
		s.write(j, c)
		if c.Version <= s.Acked {
			s.Broken = "a version was acknowledged twice"
		}
		s.Acked = max(s.Acked, c.Version)
		did(s, "saves version", c.Version)
	}
}

// leave ends a job after a refusal.
func (x *explorer) leave(s *State, j *Job, did func(State, string, uint8), why string) {
	x.disconnect(s, j)
	did(*s, why, 0)
}

// close releases the lease and closes the connection.
func (x *explorer) close(i uint8, did func(State, string, uint8)) {
	s := x.from
	j := &s.Jobs[i]
	if c := s.view(j); x.usable(&s, j) && c.Epoch == j.Epoch {
		c.Holder = 0
		s.write(j, c)
	}
	x.disconnect(&s, j)
	did(s, "releases and closes", 0)
}

// disconnect closes a connection. The last one of a log checkpoints it into the main file and
// removes it.
func (x *explorer) disconnect(s *State, j *Job) {
	closed := *j
	*j = Job{At: over}
	for _, other := range s.Jobs {
		if other.Log.Number == closed.Log.Number && other.At != over && other.At != idle {
			return
		}
	}
	isFile := s.current(&closed)
	if closed.Log.Number == 0 || !isFile && !x.without(closingInSilence) {
		return
	}
	s.Main = closed.Log.Content
	if isFile {
		s.Logs[closed.Name] = Log{}
	}
	if s.Main.Version < s.Acked && s.Logs == [2]Log{} {
		s.Broken = "closing a connection takes back what was acknowledged"
	}
}
