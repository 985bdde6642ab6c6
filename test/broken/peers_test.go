package broken

// peerMutants are the faults of leases and checkpoint stores as peers got them wrong,
// one for each line, caught by the subtest that has its name.
var peerMutants = []*mutant{
	{
		name:   "peers: a failed renewal is the last one",
		breaks: "one heartbeat reply lost, and renewal stopped in silence",
		edits: []edit{{"lease/lease.go",
			"			timer.Reset(l.opts.Beat / 4)\n			continue\n", "			return\n"}},
		caught: overMemory("Leases as peers got them wrong/one lost reply must not stop the renewals"),
	},
	{
		name:   "peers: thresholds are not validated",
		breaks: "the monitor that should warn before expiry never fired when its threshold equalled the lease",
		edits:  []edit{{"lease/options.go", " || n.Duration <= n.LoseAfter {", " {"}},
		caught: overMemory("Leases as peers got them wrong/the warning must come before the expiry, also where a threshold equals the lease"),
	},
	{
		name:   "peers: all leases share a lock",
		breaks: "a Close during a waiting Acquire stalled every heartbeat in the process (shared mutex)",
		edits: []edit{
			{"lease/lease.go", "// renew sends one beat,", "var shared sync.Mutex\n\n// renew sends one beat,"},
			{"lease/lease.go", "func (l *Lease) renew() bool {\n", "func (l *Lease) renew() bool {\n	shared.Lock()\n	defer shared.Unlock()\n"},
			{"lease/lease.go", "		err = l.markFree(ctx, version)\n", "		shared.Lock()\n		err = l.markFree(ctx, version)\n		shared.Unlock()\n"},
		},
		caught: inRealTime("Leases as peers got them wrong/a close during a waiting acquire must not stall any heartbeat"),
	},
	{
		name:   "peers: a client does not recognize its own lease",
		breaks: "own acquire landed, its reply was lost, and the client then waited out its own lease",
		edits: []edit{
			{"lease/acquire.go", "			return conflict.Lease != nil && conflict.Lease.LeaseID == next.LeaseID, nil\n", "			return conflict.Lease == nil && false, nil\n"},
			{"lease/acquire.go", "				case at != nil && at.LeaseID == next.LeaseID:\n					return true, nil\n", ""},
		},
		caught: overMemory("Leases as peers got them wrong/no process waits out its own lease"),
	},
	{
		name:   "peers: a release deletes the lock record",
		breaks: "TTL or deletion on the lock record reset the token",
		edits:  []edit{{"store/memstore/lease.go", "		c.lease.Status, c.lease.Version = store.Free, version\n", "		c.lease = nil\n"}},
		caught: overMemory("Leases as peers got them wrong/the token must survive release, and what removes the lock record"),
	},
	{
		name:   "peers: every crash costs a full lease",
		breaks: "a full lease's wait after every crash and deploy",
		edits:  []edit{{"lease/judge.go", "	case j.opts.SameHolder && l.Holder.ID == self.ID && !sameProcess(l.Holder, self): // (b)\n		return true\n", ""}},
		caught: overMemory("Leases as peers got them wrong/a crash or a deploy must not cost a full lease's wait"),
	},
	{
		name:   "peers: a waiter waits forever for a handover",
		breaks: "hand-over that needs both sides alive wedged forever",
		edits:  []edit{{"lease/acquire.go", "		if !c.judge.may(found.Clock, found.received) {\n", "		if !c.judge.may(found.Clock, found.received) || c.opts.TakeOver && found.Lease != nil && found.Lease.Status == store.Held {\n"}},
		caught: overMemory("Leases as peers got them wrong/a handover must not wedge when either side dies"),
	},
	{
		name:   "peers: a save in flight holds the renewals up",
		breaks: "back-pressure in the user's pipeline starved the renewal goroutine",
		edits: []edit{
			{"lease/lease.go", "// renew sends one beat,", "// Busy is held by who saves.\nvar Busy sync.Mutex\n\n// renew sends one beat,"},
			{"lease/lease.go", "func (l *Lease) renew() bool {\n", "func (l *Lease) renew() bool {\n	Busy.Lock()\n	defer Busy.Unlock()\n"},
			{"checkpoint/settle.go", "	pauses := retries.Pace()\n	var last error\n", "	lease.Busy.Lock()\n	defer lease.Busy.Unlock()\n	pauses := retries.Pace()\n	var last error\n"},
		},
		caught: inRealTime("Leases as peers got them wrong/a busy or blocked job must not starve the renewals"),
	},
	{
		name:   "peers: a loss is logged and no more",
		breaks: "loss was logged and nothing else",
		edits:  []edit{{"lease/lease.go", "	l.cancel(e)\n	close(l.lost)\n", "	close(l.lost)\n"}},
		caught: overMemory("Leases as peers got them wrong/a loss must end the work, not only be logged"),
	},

	{
		name:   "peers: the pointer is written before the body",
		breaks: "the pointer was written before the body: a crash between leaves \"latest\" pointing at nothing",
		edits: []edit{
			{"store/memstore/head.go", "		c.head = &store.Head{Version: next,", "		next.State = nil // it follows with the copy\n		c.head = &store.Head{Version: next,"},
			{"store/memstore/copies.go", "		case there == nil || there.CommitEpoch < next.CommitEpoch:\n", "		case there == nil || there.CommitEpoch < next.CommitEpoch:\n			if c.head != nil && c.head.CommitID == next.CommitID {\n				c.head.State = next.Clone().State\n			}\n"},
		},
		caught: overMemory("Checkpoint stores as peers got them wrong/a crash at any point of a save must not leave the newest version without its state"),
	},
	{
		name:   "peers: a put without a condition",
		breaks: "PutItem with no condition: the slower of two runs wins",
		edits: []edit{{"store/memstore/head.go",
			"if c.head == nil || c.head.Fence != commit.Fence || c.head.Number != commit.Base {", "if c.head == nil {"}},
		caught: overMemory("Checkpoint stores as peers got them wrong/the slower of two runs must not win"),
	},
	{
		name:   "peers: a read that lags",
		breaks: "reads without ConsistentRead: a resume right after a save saw the one before",
		edits: []edit{
			{"store/memstore/memstore.go", "	head    *store.Head\n", "	head    *store.Head\n	before  *store.Head\n"},
			{"store/memstore/head.go", "		c.head = &store.Head{Version: next,", "		c.before = c.head\n		c.head = &store.Head{Version: next,"},
			{"store/memstore/head.go", "		now = *c.head.Clone()\n", "		now = *c.head.Clone()\n		if c.before != nil {\n			now.Version = c.before.Version.Clone()\n		}\n"},
		},
		caught: overMemory("Checkpoint stores as peers got them wrong/a resume right after a save must see it"),
	},
	{
		name:   "peers: a broken state is skipped in silence",
		breaks: "a missing body fell back in silence to an older checkpoint",
		edits: []edit{{"store/archive/state.go",
			"if sum := sha256.Sum256(s.Data); !bytes.Equal(sum[:], s.SHA256) {", "if sum := sha256.Sum256(s.Data); len(s.SHA256) != len(sum) {"}},
		caught: overMemory("Checkpoint stores as peers got them wrong/a broken state must not fall back in silence to an older checkpoint"),
	},
	{
		name:   "peers: the newest version expires too",
		breaks: "the newest item had a TTL as well: an idle job started from zero",
		edits: []edit{{"store/memstore/memstore.go",
			"		before := len(c.copies)\n",
			"		if c.head != nil && now.Sub(c.head.SavedAt) > 30*24*time.Hour {\n			c.head, c.lease = nil, nil\n		}\n		before := len(c.copies)\n"}},
		caught: overMemory("Checkpoint stores as peers got them wrong/the newest version must not expire, however long the job is idle"),
	},
	{
		name:   "peers: a load that failed is no checkpoint",
		breaks: "a load error was taken for \"no checkpoint\", and the job reprocessed everything",
		edits: []edit{{"lease/acquire.go",
			"		if !retry.again(ctx, err) {\n			if cause := context.Cause(ctx); cause != nil {\n",
			"		if !retries.Transient(err) {\n			return store.Head{}, nil\n		}\n		if !retry.again(ctx, err) {\n			if cause := context.Cause(ctx); cause != nil {\n"},
			{"lease/acquire.go", "	if err == nil {\n		err = c.fell(found.Records, head)\n	}\n", ""}},
		caught: overMemory("Checkpoint stores as peers got them wrong/an error at the load must not be taken for a fresh start"),
	},
	{
		name:   "peers: a save on error holds the values of the save before",
		breaks: "save-on-error wrote the values from the start of the run",
		edits:  []edit{{"checkpoint/close.go", "err = s.commitLast(ctx, sv, ended, lastErr)", "sv.commit.Next.Content, sv.state = s.c.base.Content, nil\n		err = s.commitLast(ctx, sv, ended, lastErr)"}},
		caught: overMemory("Checkpoint stores as peers got them wrong/a save on error must hold the values of the last mark, not of the last save or the start"),
	},
	{
		name:   "peers: what was finished is compared as text",
		breaks: "ids were compared as strings: record-1000 sorted before record-999, records were skipped",
		edits: []edit{{"checkpoint/window.go",
			"func(r store.Range) bool { return r.First == cursor })\n	if i < 0 {",
			"func(r store.Range) bool { return r.First == cursor })\n	if len(w.before) > 0 && cursor < w.before[0].First {\n		return true\n	}\n	if i < 0 {"}},
		caught: overMemory("Checkpoint stores as peers got them wrong/ids must not be compared as strings: record-1000 comes after record-999"),
	},
}
