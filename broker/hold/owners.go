package hold

import "math/bits"

const (
	// ownerPart is which part of all the places one owner may have.
	ownerPart = 4
	// fewParked is what every owner may keep when places run out.
	fewParked = 64
)

// owner is who has requests parked.
type owner struct {
	key   any
	n     int     // how many
	first *parked // of its requests, in no order
}

// owners say who has how many requests. What it does for a request does not depend
// on how many owners and requests there are: one that finds no room may come as
// often as a peer likes. Everything REQUIRES: Service.ownersMu.
type owners struct {
	of map[any]*owner
	// level has the owners with 2^(i-1) to 2^i-1 requests at i, as far as they have
	// more than fewParked: the highest has who has most, or at least half of that.
	level [bits.UintSize + 1]map[*owner]struct{}
}

// enter counts a request, of which its owner may have most. When there is no room
// it takes the places of another owner, whose requests it gives.
func (o *owners) enter(p *parked, full bool, most int) (ok bool, lost []*parked) {
	mine := 0
	var own *owner
	if p.Owner != nil {
		if own = o.of[p.Owner]; own != nil {
			mine = own.n
		}
		if mine >= most {
			return false, nil
		}
	}
	if full {
		hog := o.hog()
		if hog == nil || hog.n <= mine {
			return false, nil
		}
		lost = o.drop(hog)
	}
	p.counted = true
	if p.Owner == nil {
		return true, lost
	}
	if own == nil {
		own = &owner{key: p.Owner}
		o.of[p.Owner] = own
	}
	p.owner, p.next = own, own.first
	if p.next != nil {
		p.next.prev = p
	}
	own.first = p
	o.count(own, own.n+1)
	return true, lost
}

// leave gives the place of a request back; false when it has none any more.
func (o *owners) leave(p *parked) bool {
	if !p.counted {
		return false
	}
	p.counted = false
	own := p.owner
	if own == nil {
		return true
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		own.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.owner, p.prev, p.next = nil, nil, nil
	o.count(own, own.n-1)
	return true
}

// drop forgets an owner, which may be nil, and gives its requests, which have no
// place any more.
func (o *owners) drop(own *owner) []*parked {
	if own == nil {
		return nil
	}
	lost := make([]*parked, 0, own.n)
	for p := own.first; p != nil; {
		next := p.next
		p.owner, p.prev, p.next, p.counted = nil, nil, nil, false
		lost = append(lost, p)
		p = next
	}
	own.first = nil
	o.count(own, 0)
	return lost
}

// count sets the number of an owner's requests; at 0 it is forgotten.
func (o *owners) count(own *owner, n int) {
	was, is := levelOf(own.n), levelOf(n)
	own.n = n
	if was != is {
		if was > 0 {
			delete(o.level[was], own)
		}
		if is > 0 {
			if o.level[is] == nil {
				o.level[is] = map[*owner]struct{}{}
			}
			o.level[is][own] = struct{}{}
		}
	}
	if n == 0 {
		delete(o.of, own.key)
	}
}

// levelOf is where an owner of n requests stands, 0 when it has few.
func levelOf(n int) int {
	if n <= fewParked {
		return 0
	}
	return bits.Len(uint(n))
}

// hog is an owner with about as many requests as anybody; nil when nobody has
// many.
func (o *owners) hog() *owner {
	for i := len(o.level) - 1; i > 0; i-- {
		for own := range o.level[i] {
			return own
		}
	}
	return nil
}
