package client

import (
	"sync/atomic"

	"github.com/merlinmq/merlin/protocol/body"
)

// pulled is a subscription that came with a pull (compensation data).
type pulled struct {
	sub  *body.SubscriptionData
	used atomic.Int64 // ms, when a pull came with it last
}

const (
	// maxPulled bounds what the remembered subscriptions take together, in bytes. A
	// pull carries its subscription, so forgetting one costs parsing it again.
	maxPulled = 16 << 20
	// maxPulledOne is the largest that is remembered.
	maxPulledOne = 1 << 20
)

// cost is about what a remembered subscription takes.
func (p *pulled) cost() int {
	const fixed, tag = 512, 32
	return fixed + len(p.sub.Topic) + 2*len(p.sub.SubString) + tag*len(p.sub.TagsSet)
}

// Pulled gives the remembered subscription of a pulling consumer when its text,
// type and version are these, so that it need not be parsed again; else nil. The
// strings may alias a frame.
func (c *Consumers) Pulled(group, topic, expression, expressionType string, version int64) *body.SubscriptionData {
	c.mu.RLock()
	p := c.pulled[group][topic]
	c.mu.RUnlock()
	if p == nil || p.sub.SubString != expression || p.sub.ExpressionType != expressionType || p.sub.SubVersion != version {
		return nil
	}
	p.used.Store(c.opts.Clock.NowMillis())
	return p.sub
}

// pulledOf gives the subscription of a topic that came with a group's pulls, or nil.
func (c *Consumers) pulledOf(group, topic string) *body.SubscriptionData {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if p := c.pulled[group][topic]; p != nil {
		return p.sub
	}
	return nil
}

// RememberPull keeps a subscription that came with a pull, unless it is very
// large. When all together have become too large, the others are forgotten.
func (c *Consumers) RememberPull(group string, sub *body.SubscriptionData) {
	p := &pulled{sub: sub}
	p.used.Store(c.opts.Clock.NowMillis())
	c.mu.Lock()
	defer c.mu.Unlock()
	size := p.cost()
	if size > maxPulledOne {
		return
	}
	if old := c.pulled[group][sub.Topic]; old != nil {
		c.pulledBytes -= old.cost()
	}
	if c.pulledBytes += size; c.pulledBytes > maxPulled {
		clear(c.pulled)
		c.pulledBytes = size
	}
	if c.pulled[group] == nil {
		c.pulled[group] = map[string]*pulled{}
	}
	c.pulled[group][sub.Topic] = p
}

// sweepPulled forgets what no pull came with for long. (Java renews the version of
// such a subscription with every pull, and looks at that.)
func (c *Consumers) sweepPulled(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for group, topics := range c.pulled {
		for topic, p := range topics {
			if now-p.used.Load() > c.opts.SubscriptionExpiry.Milliseconds() {
				delete(topics, topic)
				c.pulledBytes -= p.cost()
			}
		}
		if len(topics) == 0 {
			delete(c.pulled, group)
		}
	}
}
