package store

import "github.com/merlinmq/merlin/store/consumequeue"

// timeSearch finds a queue offset by store time, as Java does in one file of the
// consume queue. An entry without a time, because it stands for no message or its
// record is damaged, says nothing about its neighbours: the next one is asked. A
// failing read ends the search.
type timeSearch struct {
	s     *Store
	q     *consumequeue.Queue
	t     int64 // ms
	upper bool
	err   error // of the first read that failed
}

// at is the store time of an entry, -1 when it has none.
func (x *timeSearch) at(offset int64) int64 {
	if x.err != nil {
		return -1
	}
	t, err := x.s.storeTime(x.q, offset)
	x.err = err
	return t
}

// first gives the first entry of [from, to] that has a time; from > to when there
// is none.
func (x *timeSearch) first(from, to int64) (int64, int64) {
	for ; from <= to && x.err == nil; from++ {
		if t := x.at(from); t >= 0 {
			return from, t
		}
	}
	return to + 1, -1
}

// last gives the last entry of [from, to] that has a time, from-1 when there is
// none.
func (x *timeSearch) last(from, to int64) (int64, int64) {
	for ; from <= to && x.err == nil; to-- {
		if t := x.at(to); t >= 0 {
			return to, t
		}
	}
	return from - 1, -1
}

func (x *timeSearch) run() (int64, error) {
	begin, end, ok := x.file()
	if !ok || x.err != nil {
		return 0, x.err
	}
	floor := max(x.q.Min(), begin)
	if floor > end {
		return 0, nil
	}
	ceiling, newest := x.last(floor, end)
	if newest < 0 {
		return 0, x.err // nothing can be read
	}
	if newest < x.t {
		if x.upper {
			return ceiling, nil
		}
		return end + 1, nil
	}
	oldest := int64(-1)
	floor, oldest = x.first(floor, ceiling)
	if x.err == nil && oldest > x.t {
		if x.upper {
			return 0, nil
		}
		return begin, nil
	}
	at := x.between(begin-1, floor, ceiling)
	return at, x.err
}

// between searches [low, high], both of which have a time; none is the answer when
// no entry fits.
func (x *timeSearch) between(none, low, high int64) int64 {
	floor, ceiling, left, right := low, high, none, none
	for low <= high && x.err == nil {
		mid := low + (high-low)/2
		from, t := x.first(mid, high)
		switch {
		case from > high: // none in the upper half
			high = mid - 1
		case t == x.t:
			return x.same(from, floor, ceiling)
		case t > x.t:
			high, right = mid-1, from
		default:
			low, left = from+1, from
		}
	}
	if x.upper {
		return left
	}
	return right
}

// same walks over neighbours with the same store time.
func (x *timeSearch) same(at, floor, ceiling int64) int64 {
	step := int64(-1)
	if x.upper {
		step = 1
	}
	for next := at + step; next >= floor && next <= ceiling && x.err == nil; next += step {
		switch t := x.at(next); {
		case t == x.t:
			at = next
		case t >= 0:
			return at
		}
	}
	return at
}

// file gives the first and last offset of the consume queue file that Java would
// search.
func (x *timeSearch) file() (int64, int64, bool) {
	files := x.q.Files()
	if len(files) == 0 {
		return 0, 0, false
	}
	per := x.q.NextFile(0)
	end := func(i int) int64 { return min(files[i]+per, x.q.Max()) - 1 }
	if !x.upper {
		for i := range len(files) - 1 {
			if _, t := x.last(max(files[i], x.q.Min()), end(i)); t >= x.t {
				return files[i], end(i), true
			}
		}
		i := len(files) - 1
		return files[i], end(i), true
	}
	for i := len(files) - 1; i >= 0; i-- {
		if _, t := x.first(max(files[i], x.q.Min()), end(i)); x.err == nil && t <= x.t {
			return files[i], end(i), true
		}
	}
	return 0, 0, false
}
