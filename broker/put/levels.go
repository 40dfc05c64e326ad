package put

import "time"

// Levels are the delays of the levels, level 1 first.
type Levels []time.Duration

// Clamp gives the level that serves a request for level: the last one when it is
// beyond the table. REQUIRES: level > 0.
func (ls Levels) Clamp(level int) int { return min(level, len(ls)) }

// Delay is the delay of a level from 1 to len(ls).
func (ls Levels) Delay(level int) time.Duration { return ls[level-1] }

// QueueOf is the queue of the schedule topic that keeps a level.
func QueueOf(level int) int32 { return int32(level - 1) }
