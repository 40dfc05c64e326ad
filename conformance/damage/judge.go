package damage

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Verdict is an outcome, judged.
type Verdict struct {
	Row     Row
	What    string // done to which bytes
	Refused bool
	// Justified are messages that are missing and whose own bytes were touched,
	// Unjustified the others. Changed were served with other bytes than before.
	Justified, Unjustified, Changed int
	Strange                         int // served and never sent, twice, or in another queue
	Foreign                         int // the same, from a file of another broker that was put there
	Again                           int // delayed messages that came once more, without what says how far they are
	Unseen                          int // served with other bytes than before, which nothing covers
	Stuck                           int // offsets that a consumer cannot pass
	Untagged                        int // there, but not for a consumer of their tag
	Unkeyed                         int // there, but not found by their key
	Settings                        []string
	Twice                           int // offsets given out again, of messages whose bytes are whole
	Reused                          int // the same of messages that were destroyed
	Lines                           int // of the log, that name a file that was touched
	Violations                      []string
	Beside                          string // what became of the same files under a Java broker
	// Said are lines of the log that are warnings or errors.
	Said []string
}

// Judge compares an outcome with what was known before.
func Judge(row Row, h *History, o *Outcome) *Verdict {
	v := &Verdict{Row: row, What: o.Done.Text, Refused: o.Refused != ""}
	for _, l := range o.Log {
		if strings.Contains(l, "level=WARN") || strings.Contains(l, "level=ERROR") || strings.HasPrefix(l, "mqbroker:") {
			v.Said = append(v.Said, l)
		}
		if strings.Contains(l, "panic") || strings.Contains(l, "fatal error") || strings.Contains(l, "SIGBUS") {
			v.bad("the broker printed %q", l)
		}
	}
	v.Lines = named(v.Said, row, o.Done)
	if o.died {
		v.bad("the broker ended by itself")
		return v
	}
	if v.Refused {
		v.refusal(row)
		return v
	}
	v.messages(row, h, o)
	v.offsets(row, h, o)
	v.settings(h, o)
	v.violations(row, o)
	return v
}

func (v *Verdict) bad(format string, args ...any) {
	v.Violations = append(v.Violations, fmt.Sprintf(format, args...))
}

// named counts the lines that name what was touched: the file, for an entry of a
// consume queue also its queue, for a whole folder any of its files, for a size
// setting the setting.
func named(lines []string, row Row, done Done) int {
	var all [][]string // a line has all strings of one of these
	for _, t := range done.Touched {
		all = append(all, []string{t.File})
		switch {
		case row.Kind.queue() && !row.Kind.all():
			all = append(all, []string{"topic=" + target.Topic, fmt.Sprint("queue=", target.ID), "ffset="})
		case row.Kind.index() && !row.Kind.all(), row.Kind.json():
			all = append(all, []string{filepath.Base(t.File)})
		}
	}
	for name := range done.Conf {
		all = append(all, []string{name})
	}
	if row.Kind.log() && row.Damage == Delete {
		all = append(all, []string{"/commitlog/"}) // the files beside the gap
	}
	n := 0
	for _, l := range lines {
		has := func(parts []string) bool {
			return !slices.ContainsFunc(parts, func(s string) bool { return !strings.Contains(l, s) })
		}
		if slices.ContainsFunc(all, has) {
			n++
		}
	}
	return n
}

// refusal says whether the broker may refuse to start.
func (v *Verdict) refusal(row Row) {
	if v.Lines == 0 {
		v.bad("the broker does not start and does not name what is wrong: %s", strings.Join(v.Said, " | "))
	}
	switch {
	case row.Damage == LargerSize, row.Damage == SmallerSize: // Java refuses as well
	case row.Kind.log() && (row.Damage == Truncate || row.Damage == Delete): // a gap in the log
	case row.Kind.both(): // nothing to go on from
	default:
		v.bad("the broker does not start")
	}
}

// messages finds out what became of each message.
func (v *Verdict) messages(row Row, h *History, o *Outcome) {
	hit := h.hit(row, o.Done)
	type where struct {
		q   string
		raw string
	}
	there := map[where]int{}
	served := 0
	keys := map[string]bool{} // queue and key of what was served
	foreign := 0
	for q, r := range o.reads {
		served += len(r.Found)
		v.Stuck += len(r.Stuck) + len(r.Refused)
		for _, f := range r.Found {
			there[where{q.String(), string(f.Raw)}]++
			if row.Damage == Foreign && strings.HasPrefix(f.Key(), "other") {
				foreign++
				continue
			}
			keys[fmt.Sprint(q, f.PhyOffset)], keys[fmt.Sprint(q, f.Key())] = true, true
		}
	}
	tagged := map[string]bool{}
	for _, r := range o.tagged {
		for _, f := range r.Found {
			tagged[string(f.Raw)] = true
		}
	}
	known := 0
	for _, s := range h.Messages {
		n := there[where{s.Queue.String(), s.Raw}]
		known += min(n, 1)
		switch {
		case n > 0:
			if s.Tag == tags[0] && s.Queue.Topic != schedule.Topic && !tagged[s.Raw] {
				v.Untagged++
			}
			if !o.byKey[s.Key] && s.Queue.Topic != schedule.Topic {
				v.Unkeyed++
			}
		case keys[fmt.Sprint(s.Queue, s.Phy)] || keys[fmt.Sprint(s.Queue, s.Key)]:
			known++
			if hit[s] && !s.covered(o.Done) {
				v.Unseen++
				continue
			}
			v.Changed++
			if !hit[s] {
				v.bad("%s of %v at %d is served with other bytes, and nobody touched them", s.Key, s.Queue, s.Offset)
			}
		case hit[s]:
			v.Justified++
		default:
			v.Unjustified++
		}
	}
	v.Strange, v.Foreign = served-known-foreign, foreign
	if strings.HasPrefix(string(row.Kind), string(Delays)) {
		v.Again, v.Strange = v.Strange, 0
	}
}

// offsets looks at the offsets that new messages got.
func (v *Verdict) offsets(row Row, h *History, o *Outcome) {
	hit := h.hit(row, o.Done)
	for _, g := range o.again {
		for _, s := range h.Messages {
			if s.Queue != g.q || s.Offset < g.offset {
				continue
			}
			if hit[s] {
				v.Reused++
			} else {
				v.Twice++
			}
		}
	}
}

// settings compares topics, groups and offsets.
func (v *Verdict) settings(h *History, o *Outcome) {
	for _, t := range []struct {
		what          string
		before, after map[string]string
	}{{"topic", h.Topics, o.After.Topics}, {"group", h.Groups, o.After.Groups}} {
		for name, was := range t.before {
			switch is, ok := t.after[name]; {
			case !ok:
				v.Settings = append(v.Settings, t.what+" "+name+" is gone")
			case is != was:
				v.Settings = append(v.Settings, fmt.Sprintf("%s %s is %s, was %s", t.what, name, is, was))
			}
		}
		for name := range t.after {
			if _, ok := t.before[name]; !ok {
				v.Settings = append(v.Settings, t.what+" "+name+" is new")
			}
		}
	}
	for q, was := range h.Offsets {
		if is := o.After.Offsets[q]; is != was {
			v.Settings = append(v.Settings, fmt.Sprintf("the offset of %s is %d, was %d", q, is, was))
		}
	}
	slices.Sort(v.Settings)
}

// violations says what of it must not be.
func (v *Verdict) violations(row Row, o *Outcome) {
	stuck := v.Stuck
	if row.Kind == TopicsBoth {
		stuck = 0 // nobody consumes from a topic that is not there
	}
	for _, t := range []struct {
		n    int
		what string
	}{
		{v.Unjustified, "messages are gone whose bytes were not touched"},
		{v.Strange, "messages are served that were never sent, twice or in another queue"},
		{stuck, "offsets stop a consumer"},
		{v.Twice, "offsets are given out twice"},
		{len(o.failed), "new messages are refused"},
	} {
		if t.n > 0 {
			v.bad("%d %s", t.n, t.what)
		}
	}
	for _, f := range o.failed {
		v.bad("%s", f)
	}
	if len(v.Settings) > 0 && !row.Kind.json() {
		v.bad("settings changed: %s", strings.Join(v.Settings, ", "))
	}
	if v.lossy() && v.Lines == 0 && !quiet(row, v, o) {
		v.bad("silent: %s, and no line names the file", v.Outcome())
	}
}

func (v *Verdict) lossy() bool {
	return v.Justified+v.Unjustified+v.Changed+v.Again+v.Untagged+v.Unkeyed+len(v.Settings) > 0
}

// quiet says whether nothing can be said about a loss, or nothing has to be.
func quiet(row Row, v *Verdict, o *Outcome) bool {
	switch {
	case (row.Kind == LogFirst || row.Kind == IndexFirst) && row.Damage == Delete:
		return true // that is how retention leaves it
	case o.Done.Whole:
		return true // the file reads as one that says something else
	case row.Kind.queue() && (row.Damage == FlipBody || row.Damage == ZeroBlock) && (row.Stop == Clean || row.Stop == AfterPause):
		// No checksum covers a tags code, and it is compared with its record only
		// where recovery reads the log again: behind the pause.
		return v.Justified+v.Unjustified == 0
	}
	return false
}

// Outcome is the row's outcome in words.
func (v *Verdict) Outcome() string {
	if v.Refused {
		return "refuses to start"
	}
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	add(v.Unjustified, "lost without reason")
	add(v.Justified, "lost")
	add(v.Changed, "served changed")
	add(v.Unseen, "changed where nothing covers it")
	add(v.Again, "delivered again")
	add(v.Strange, "strange")
	add(v.Foreign, "of the other broker")
	add(v.Stuck, "stuck")
	add(v.Untagged, "not by tag")
	add(v.Unkeyed, "not by key")
	add(len(v.Settings), "settings changed")
	add(v.Twice, "offsets twice")
	add(v.Reused, "offsets of lost ones reused")
	if len(parts) == 0 {
		return "all there"
	}
	return strings.Join(parts, ", ")
}
