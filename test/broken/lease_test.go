package broken

// ofProcesses is a test of what the system says of a holder's process.
func ofProcesses(test string) by { return by{"./lease", test} }

// leaseMutants break the lease protocol.
var leaseMutants = []*mutant{
	{
		name:   "a HEAD below what LEASE knows is a fresh start",
		breaks: "a HEAD below the version that LEASE knows is ErrStoreRegressed, never \"no checkpoint\" †",
		edits: []edit{{"lease/acquire.go",
			"	if version < c.known {\n", "	if c.known > 0 {\n		return false, nil\n	}\n	if version < c.known {\n"},
			{"lease/acquire.go", "	if found.Lease != nil && head.Number < found.Lease.Version {\n", "	if false {\n"}},
		caught: overMemory("Regression/no HEAD though LEASE knows a version"),
	},
	{
		name:   "a HEAD that fell during the acquisition is taken as it is",
		breaks: "a HEAD whose version fell between (1) and (3) is ErrStoreRegressed †",
		edits: []edit{{"lease/acquire.go",
			"	if err == nil {\n		err = c.fell(found.Records, head)\n	}\n", ""}},
		caught: overMemory("Regression/a HEAD whose version fell between the read and the raise"),
	},
	{
		name:   "a look is taken for one snapshot",
		breaks: "a HEAD below the LEASE of the same look proves nothing †",
		edits: []edit{{"lease/acquire.go",
			"	c.known = found.Lease.Version\n	return true, nil\n", "	return false, c.regression(version, found.Lease.Version)\n"}},
		caught: by{"./lease", "TestACommitAndABeatWithinOneLookAreNoRegression"},
	},
	{
		name:   "LEASE is free before the context has ended",
		breaks: "a release cancels the session's context first †",
		edits: []edit{
			{"lease/lease.go", "	l.Lose(&LostError{Reason: Released}) // first: once LEASE is free, another run may begin\n", ""},
			{"lease/lease.go", "	l.stopBeat()\n	<-l.beatDone\n", "	l.Lose(&LostError{Reason: Released})\n	l.stopBeat()\n	<-l.beatDone\n"},
		},
		caught: by{"./lease", "TestALeaseIsNotFreeWhileItsContextLives"},
	},
	{
		name:   "saved_at goes by the latest that the store's clock can be",
		breaks: "saved_at is not ahead of the store's clock †",
		edits:  []edit{{"lease/lease.go", "	return l.least.at(l.opts.Readings.Mono())\n", "	return l.clockAt(l.opts.Readings.Mono())\n"}},
		caught: by{"./lease", "TestASlowReplyNeitherPutsTheClockAheadNorBack"},
	},
	{
		name:   "the raise makes a HEAD where one was read",
		breaks: "a HEAD that is gone between (1) and (3) is ErrStoreRegressed †",
		edits:  []edit{{"lease/acquire.go", "c.opts.Holder, seen == nil)\n		cancel()", "c.opts.Holder, true)\n		cancel()"}},
		caught: overMemory("Regression/a HEAD that is gone between the read and the raise"),
	},
	{
		name:   "a missing LEASE is rebuilt at the next epoch",
		breaks: "a missing LEASE beside a HEAD is rebuilt at head.epoch + 1,000,000 †",
		edits:  []edit{{"lease/acquire.go", "found.Head.Fence.Epoch + EpochLeap", "found.Head.Fence.Epoch + 1"}},
		caught: overMemory("Regression/a missing LEASE next to a HEAD is rebuilt a million epochs on"),
	},
	{
		name:   "the load is what was read before the fence",
		breaks: "the raise's reply is the load",
		edits:  []edit{{"lease/acquire.go", "	l.head = head\n", "	l.head = head\n	if found.Head != nil {\n		l.head = *found.Head\n	}\n"}},
		caught: overMemory("Acquire/loads what the fence protects, not what was read before it"),
	},
	{
		name:   "beats do not record the version",
		breaks: "every beat and the release write the last version into LEASE †",
		edits:  []edit{{"lease/lease.go", "RenewedAt: sentWall, Version: l.version}", "RenewedAt: sentWall}"}},
		caught: overMemory("Regression/every beat and the release record the last version in LEASE"),
	},
	{
		name:   "the recorded end counts from the reply",
		breaks: "the holder records Date + the time since that request was sent + duration †",
		edits:  []edit{{"lease/acquire.go", "clock = clock.Add(sent - found.sent)", "_ = found.sent"}},
		caught: overMemory("Expiry/the recorded end counts from the sending of the request that was answered"),
	},
	{
		name:   "a clock that jumps is not noticed",
		breaks: "a clock jump counts as a missed renewal: no commit until one succeeds †",
		edits:  []edit{{"lease/lease.go", "l.jumped, l.blind = true, true", "_ = drift"}},
		caught: overMemory("Renew and lose/a jump of the clock is a missed renewal, not a loss"),
	},
	{
		name:   "a clock that jumps is a loss",
		breaks: "a clock jump is not a loss: an NTP step must not kill healthy jobs †",
		edits:  []edit{{"lease/lease.go", "l.jumped, l.blind = true, true", "l.lose(&LostError{Reason: Expired})"}},
		caught: overMemory("Renew and lose/a jump of the clock is a missed renewal, not a loss"),
	},
	{
		name:   "a plain wait asks the holder to go",
		breaks: "handoff where both sides opted in: a plain wait asks for nothing †",
		edits:  []edit{{"lease/acquire.go", "	if c.opts.TakeOver {", "	if true {"}},
		caught: overMemory("Handoff and steal/a plain wait asks for nothing"),
	},
	{
		name:   "a holder yields to a waiter that is dead",
		breaks: "it yields only if the counter moved between two renewals",
		edits: []edit{{"lease/lease.go",
			"moved := before != nil && w != nil && before.By == w.By && w.Count > before.Count",
			"moved := w != nil && (before == nil || before.By != \"\")"}},
		caught: overMemory("Handoff and steal/a waiter whose counter stands still is dead, and gets nothing"),
	},
	{
		name:   "the deadline counts from the reply",
		breaks: "the holder's deadline counts from just before the sending",
		edits:  []edit{{"lease/acquire.go", "newLease(ctx, c, next, sent, sentWall, clock)", "newLease(ctx, c, next, c.opts.Readings.Mono(), sentWall, clock)"}},
		caught: overMemory("Renew and lose/the deadline counts from the sending, not from the reply"),
	},
	{
		name:   "a contender judges a lease sooner than its holder does",
		breaks: "unchanged for 1.02 × the record's duration",
		edits:  []edit{{"lease/judge.go", "	return d + d/50\n", "	return d / 2\n"}},
		caught: overMemory("Expiry/after a crash the lease is taken within 1.02 durations and a poll, and not before the old holder has stopped"),
	},
	{
		name:   "a steal leaves HEAD alone",
		breaks: "steal: epoch + 1 on LEASE and HEAD",
		edits: []edit{{"lease/observe.go",
			"		_, _, err := c.st.Raise(ctx, c.key, next.Fence(), c.opts.Holder, found.Head == nil)\n		return err\n", "		return nil\n"}},
		caught: overMemory("Handoff and steal/a steal fences the living holder and says why"),
	},
	{
		name:   "a process that /proc does not show has ended",
		breaks: "/proc can hide a live process †",
		edits:  []edit{{"lease/process_linux.go", "		return sighting{} // hidden, or ended just now\n", "		return sighting{absent: true}\n"}},
		caught: ofProcesses("TestNotSeeingAProcessIsNoProofThatItHasEnded"),
	},
	{
		name:   "another namespace's start time proves the end",
		breaks: "in the same time namespace, the process with that pid has another start time †",
		edits:  []edit{{"lease/process.go", " && holder.TimeSpace == self.TimeSpace", " && self == self"}},
		caught: ofProcesses("TestNotSeeingAProcessIsNoProofThatItHasEnded"),
	},
	{
		name:   "another namespace's processes are taken for ours",
		breaks: "the last two need a /proc of this pid namespace",
		edits:  []edit{{"lease/process_linux.go", "	return len(bytes.Fields(line)) == 1\n", "	return len(line) >= 0\n"}},
		caught: ofProcesses("TestNotSeeingAProcessIsNoProofThatItHasEnded"),
	},
	{
		name:   "a process has ended with its first thread",
		breaks: "the process is a zombie, none of whose threads runs",
		edits:  []edit{{"lease/process_linux.go", ` && fields[threads] == "1"`, ` && threads > 0`}},
		caught: ofProcesses("TestNotSeeingAProcessIsNoProofThatItHasEnded"),
	},
	{
		name:   "a pid that the caller chose is looked for",
		breaks: "whether the process of the caller's PID runs says nothing about this one",
		edits:  []edit{{"lease/options.go", "	if self.PID != 0 && h.PID != self.PID {", "	if self.PID < 0 {"}},
		caught: ofProcesses("TestAPIDThatTheCallerChoseIsNotLookedFor"),
	},
	{
		name:   "another boot id is a crash",
		breaks: "another boot id alone does not mean a crash †",
		edits:  []edit{{"store/record.go", "	renewed := l.Until.Add(-l.Duration)\n", "	if slack > 0 {\n		return true\n	}\n	renewed := l.Until.Add(-l.Duration)\n"}},
		caught: by{"./store", "TestALeaseRunsOutByTheStoresOwnClockAlone"},
	},
}
