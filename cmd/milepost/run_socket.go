package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// lastWords is how long what a process has sent may take to arrive after it has ended.
	lastWords = time.Second

	// readWithin is how long a process may leave unread what it has asked for: others wait for it.
	readWithin = 5 * time.Second
)

// sockets are the conversations with the processes of a command.
type sockets struct {
	path     string
	job      *job
	stores   *stores
	listener net.Listener
	serving  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	over bool
}

func listen(path string, j *job) (*sockets, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the command's progress: %w", err)
	}
	s := &sockets{path: path, job: j, listener: listener, open: map[net.Conn]bool{}}
	s.stores = &stores{app: j.app, open: map[storeName]*openStore{{mode: mayCreate}: j.store}}
	s.serving.Go(s.accept)
	return s, nil
}

func (s *sockets) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = true
		if s.over {
			s.hurry(conn)
		}
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(conn) })
	}
}

func (s *sockets) serve(conn net.Conn) {
	c := newConversation(s.job.app, s.stores, s.job.session, impatient{conn})
	_ = c.read(conn) // whoever it was is gone
	_ = c.end()      // it has opened nothing
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close()
}

func (s *sockets) hurry(conn net.Conn) { _ = conn.SetReadDeadline(time.Now().Add(lastWords)) }

// close waits until what the processes have said is taken in. They have ended.
func (s *sockets) close() {
	s.mu.Lock()
	s.over = true
	for conn := range s.open {
		s.hurry(conn)
	}
	s.mu.Unlock()
	_ = s.listener.Close()
	s.serving.Wait()
	s.stores.close(s.job.store)
}

// impatient writes to who reads.
type impatient struct{ net.Conn }

func (w impatient) Write(line []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(readWithin)); err != nil {
		return 0, err
	}
	return w.Conn.Write(line)
}
