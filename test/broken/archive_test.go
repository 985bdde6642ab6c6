package broken

func ofSessions(test string) by { return by{"./checkpoint", test} }

func onDirectory(rule string) by { return by{"./store/archive/dirarchive", "TestConformance/" + rule} }

const unreferencedOrder = `	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	if found.Head == nil {
		return nil, nil // everything is above it
	}
	head := &found.Head.Version
	unused := slices.DeleteFunc(slices.Clone(listed), func(b archive.ListedBody) bool {
		return b.ID.Version > head.Number || b.ID.Version == head.Number && b.ID.CommitID == head.CommitID
	})
	if unused, err = n.withoutCopy(ctx, unused); err != nil {
		return nil, err
	}
	return n.withoutMirror(ctx, unused)
`

// archiveMutants break what is said of bodies, the mirror, gc and restore.
var archiveMutants = []*mutant{
	{
		name:   "archive: gc reads HEAD last",
		breaks: "gc lists bodies, then reads, in this order, HEAD, V#v, the mirror †",
		edits: []edit{{"checkpoint/gc.go", unreferencedOrder, `	unused, err := n.withoutCopy(ctx, slices.Clone(listed))
	if err != nil {
		return nil, err
	}
	if unused, err = n.withoutMirror(ctx, unused); err != nil {
		return nil, err
	}
	found, err := n.look(ctx)
	if err != nil {
		return nil, err
	}
	if found.Head == nil {
		return nil, nil // everything is above it
	}
	head := &found.Head.Version
	return slices.DeleteFunc(unused, func(b archive.ListedBody) bool {
		return b.ID.Version > head.Number || b.ID.Version == head.Number && b.ID.CommitID == head.CommitID
	}), nil
`}},
		caught: ofSessions("TestABodyThatIsBeingPointedAtWhileGCRunsSurvives"),
	},
	{
		name:   "archive: gc reads the mirror before the copies",
		breaks: "gc lists bodies, then reads, in this order, HEAD, V#v, the mirror †",
		edits: []edit{{"checkpoint/gc.go", `	if unused, err = n.withoutCopy(ctx, unused); err != nil {
		return nil, err
	}
	return n.withoutMirror(ctx, unused)
`, `	if unused, err = n.withoutMirror(ctx, unused); err != nil {
		return nil, err
	}
	return n.withoutCopy(ctx, unused)
`}},
		caught: ofSessions("TestABodyThatIsBeingPointedAtWhileGCRunsSurvives"),
	},
	{
		name:   "archive: a late mirror does not look for the body",
		breaks: "who mirrors a version with a body looks for the body once the object is there †",
		edits:  []edit{{"store/archive/mirroring.go", "	if err == nil && m.State != nil && m.State.Body != \"\" {\n", "	if false {\n"}},
		caught: ofSessions("TestAMirrorThatIsLateNeverPointsAtABodyThatGCHasRemoved"),
	},
	{
		name:   "archive: gc does not look at the mirror again",
		breaks: "gc looks for the object once it has removed the body †",
		edits:  []edit{{"checkpoint/gc.go", "m.State.Body == body.Object.Key {", "m.State.Body == \"\" {"}},
		caught: ofSessions("TestAMirrorThatIsLateNeverPointsAtABodyThatGCHasRemoved"),
	},
	{
		name:   "archive: prune goes by what HEAD says of the mirror alone",
		breaks: "a version stays until it is mirrored",
		edits:  []edit{{"checkpoint/prune.go", "	if m.have == nil {\n", "	if true {\n"}},
		caught: ofSessions("TestPruneKeepsWhatAnArchiveThatWasNeverSyncedDoesNotHold"),
	},
	{
		name:   "archive: the mirror forgets a gap at the end of a chunk",
		breaks: "what expired unmirrored is a named gap",
		edits:  []edit{{"checkpoint/mirror.go", "		if !s.More() || !s.InGap() {", "		if s.High > 0 {"}},
		caught: ofSessions("TestAGapThatGoesOverChunksIsNamedWhole"),
	},
	{
		name:   "archive: a damaged version hides those before it",
		breaks: "an error naming the record, and the next one follows",
		edits:  []edit{{"checkpoint/read.go", "	version, _ := store.CopyVersion(bad.Record)\n", "	version, _ := store.CopyVersion(\"no \" + bad.Record)\n"}},
		caught: ofSessions("TestVersionsThatAreDamagedInTheStoreAreYieldedAsTheirErrorsAndTheNextFollow"),
	},
	{
		name:   "archive: gc goes by a grace period",
		breaks: "exact, no clock, a slow save's body above HEAD stays",
		edits: []edit{
			{"checkpoint/gc.go", "		return b.ID.Version > head.Number || b.ID.Version ==", "		return time.Since(b.Object.ModifiedAt) < 30*24*time.Hour || b.ID.Version =="},
			{"checkpoint/gc.go", "	\"slices\"\n", "	\"slices\"\n	\"time\"\n"},
		},
		caught: ofSessions("TestABodyOfASaveThatTakesDaysSurvivesGC"),
	},
	{
		name:   "archive: bodies are listed without a delimiter",
		breaks: "listed with delimiter / so that a never sees what is a/body's †",
		edits:  []edit{{"store/archive/bodies.go", "&ListOptions{Delimiter: true}", "nil"}},
		caught: ofSessions("TestGCOfOneCheckpointTouchesNoOthers"),
	},
	{
		name:   "archive: HEAD points at a body before it is there",
		breaks: "the body goes to S3 before HEAD points at it",
		edits: []edit{{"store/archive/writer.go", "		err = w.send(ctx, int64(len(from.Data)), func(ctx context.Context) error {\n			return putBody(ctx, w.Archive, own, from.Data)\n		})\n",
			"		late := context.WithoutCancel(ctx)\n		go func() { time.Sleep(time.Second); _ = putBody(late, w.Archive, own, from.Data) }()\n"}},
		caught: ofSessions("TestABodyIsThereBeforeHEADPointsAtIt"),
	},
	{
		name:   "archive: an ambiguous save's body is removed",
		breaks: "a session whose save has definitely failed removes its own body",
		edits:  []edit{{"checkpoint/settle.go", "	if sv.ambiguous {\n		c.open = sv\n", "	if sv.ambiguous {\n		if sv.body != \"\" {\n			c.dropBody(sv)\n		}\n		c.open = sv\n"}},
		caught: ofSessions("TestAnAmbiguousSaveKeepsItsBodyUntilItIsSettled"),
	},
	{
		name:   "archive: the mirror is written over",
		breaks: "immutable (If-None-Match: *; 412 → same commit_id is success)",
		edits: []edit{{"store/archive/versions.go", "	_, err = a.Create(ctx, name, bytes.NewReader(data))\n",
			"	_ = a.Delete(ctx, name)\n	_, err = a.Create(ctx, name, bytes.NewReader(data))\n"}},
		caught: onDirectory("Mirror/another content under the same commit is an error and stays out"),
	},
	{
		name:   "archive: latest.json is moved to whatever was mirrored last",
		breaks: "latest.json moved forward by (epoch, version) only",
		edits:  []edit{{"store/archive/latest.go", "	if Compare(id, old.ID()) > 0 {", "	if id != old.ID() {"}},
		caught: onDirectory("Mirror/latest.json moves forward only, by epoch and then by version"),
	},
	{
		name:   "archive: what a dead line wrote counts",
		breaks: "an object counts only if none of a higher epoch has a version ≤ its own †",
		edits:  []edit{{"store/archive/newest.go", "		dead := id.Epoch < epoch\n", "		dead := false\n"}},
		caught: ofSessions("TestASessionThatOutlivesTheTableIsFencedAndItsLateWritesMeanNothing"),
	},
	{
		name:   "archive: an open on an empty table starts from zero",
		breaks: "an open that finds version 0 asks the archive once, and versions there are an error †",
		edits:  []edit{{"checkpoint/resume.go", "	if n.Archive == nil || head != nil && head.Number > 0 {", "	if n.Archive == nil || head == nil || head.Number >= 0 {"}},
		caught: ofSessions("TestAnOpenThatFindsNothingAsksTheArchiveOnce"),
	},
	{
		name:   "archive: one that cannot be asked has nothing",
		breaks: "an archive that cannot be asked then fails the open †",
		edits:  []edit{{"checkpoint/resume.go", "			return wrap(\"ask the archive, since the store has nothing, about\", n.key, err)\n", "			return nil\n"}},
		caught: ofSessions("TestAnOpenThatFindsNothingAsksTheArchiveOnce"),
	},
	{
		name:   "archive: a restore goes on under the next epoch",
		breaks: "restore is a commit under an epoch 1,000,000 above any seen",
		edits:  []edit{{"checkpoint/leadon.go", "	return seen + lease.EpochLeap\n", "	return seen + lease.EpochLeap/lease.EpochLeap\n"}},
		caught: ofSessions("TestEpochsRiseThroughEveryRestore"),
	},
	{
		name:   "archive: a restore does not look whether it was alone",
		breaks: "then the mirror is listed again, and another object of an epoch ≥ its own means: start over †",
		edits:  []edit{{"checkpoint/leadon.go", "		if id.Epoch >= v.CommitEpoch && id != archive.IDOf(v) {", "		if id.Epoch > v.CommitEpoch+lease.EpochLeap {"}},
		caught: ofSessions("TestTwoRestoresAtOnceStartOverAndEndApart"),
	},
	{
		name:   "archive: a damaged newest version is passed over",
		breaks: "an error naming it, never a silent step back to an older version",
		edits: []edit{{"checkpoint/restore.go", "	v, err := t.version(ctx, id)\n	if err == nil && v.Deleted {",
			"	v, err := t.version(ctx, id)\n	if older := archive.Counting(t.ids); errors.Is(err, store.ErrBadRecord) && len(older) > 1 {\n		v, err = t.version(ctx, older[len(older)-2])\n	}\n	if err == nil && v.Deleted {"}},
		caught: ofSessions("TestADamagedNewestVersionIsNeverReplacedByAnOlderOne"),
	},
}
