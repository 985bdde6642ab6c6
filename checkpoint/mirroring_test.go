package checkpoint

// What only tests ask a session.

type Mirroring = mirroring

// Mirror says how far the mirror of the session's archive has come.
func (s *Session[T]) Mirror() Mirroring {
	if s.c.mirror == nil {
		return Mirroring{}
	}
	return s.c.mirror.status()
}
