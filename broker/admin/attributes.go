package admin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/protocol"
)

// Topic attributes (TopicAttributes).
const attrMessageType = "message.type"

// attribute is what an attribute of a topic may be.
type attribute struct {
	fixed  bool     // only given when the topic is made
	values []string // allowed values, in the order Java prints them; nil: a number
	// missing are values that Java takes and that this broker does not honour: they
	// are refused, so that nobody relies on them.
	missing map[string]string
}

var topicAttributes = map[string]attribute{
	"queue.type": {fixed: true, values: []string{"BatchCQ", "SimpleCQ"},
		missing: map[string]string{"BatchCQ": "there are no batch queues yet"}},
	"cleanup.policy": {fixed: true, values: []string{"COMPACTION", "DELETE"},
		missing: map[string]string{"COMPACTION": "topics are not compacted yet, messages would be deleted with their files"}},
	attrMessageType: {values: []string{"UNSPECIFIED", "TRANSACTION", "FIFO", "MIXED", "DELAY", "NORMAL"}},
	"reserve.time":  {},
}

// parseAttributes reads "+key=value,-key" as AttributeParser does; the keys keep
// their sign.
func parseAttributes(s string) (map[string]string, error) {
	out := map[string]string{}
	for _, kv := range strings.Split(s, ",") {
		if kv == "" {
			continue
		}
		key, value, set := strings.Cut(kv, "=")
		if set && !strings.Contains(key, "+") {
			return nil, attrErr("add/alter attribute format is wrong: %s", key)
		}
		if !set && !strings.Contains(key, "-") {
			return nil, attrErr("delete attribute format is wrong: %s", key)
		}
		if _, twice := out[key]; twice {
			return nil, attrErr("key duplication: %s", key)
		}
		out[key] = value
	}
	return out, nil
}

// alterAttributes applies signed changes to the attributes that a topic or group
// has, as AttributeUtil does. fresh says that it is being made. known may be empty:
// groups have no attributes yet.
func alterAttributes(fresh bool, known map[string]attribute, now, changes map[string]string) (map[string]string, error) {
	next := maps.Clone(now)
	if next == nil {
		next = map[string]string{}
	}
	seen := map[string]bool{}
	for _, signed := range slices.Sorted(maps.Keys(changes)) {
		value := changes[signed]
		if signed == "" || strings.ContainsAny(signed[1:], "+-") || signed[1:] == "" {
			return nil, attrErr("kv string format wrong.")
		}
		sign, key := signed[0], signed[1:]
		if seen[key] {
			return nil, attrErr("alter duplication key. key: %s", key)
		}
		seen[key] = true
		_, has := now[key]
		switch {
		case fresh && sign != '+':
			return nil, attrErr("only add attribute is supported while creating topic. key: %s", key)
		case sign == '-' && !has:
			return nil, attrErr("attempt to delete a nonexistent key: %s", key)
		case sign != '+' && sign != '-':
			return nil, attrErr("wrong format key: %s", key)
		}
		if err := known[key].check(known, fresh, sign == '-', key, value); err != nil {
			return nil, err
		}
		if sign == '-' {
			delete(next, key)
		} else {
			next[key] = value
		}
	}
	return next, nil
}

func (a attribute) check(known map[string]attribute, fresh, gone bool, key, value string) error {
	if _, ok := known[key]; !ok {
		return attrErr("unsupported key: %s", key)
	}
	if !fresh && a.fixed {
		return attrErr("attempt to update an unchangeable attribute. key: %s", key)
	}
	if gone {
		return nil
	}
	if a.values == nil {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return attrErr("For input string: %q", value)
		}
		if n < -1 {
			return attrErr("value is not in range(-1, 9223372036854775807)")
		}
		return nil
	}
	if !slices.Contains(a.values, value) {
		return attrErr("value is not in set: [%s]", strings.Join(a.values, ", "))
	}
	if why, ok := a.missing[value]; ok {
		return attrErr("%s=%s is not supported: %s", key, value, why)
	}
	return nil
}

func attrErr(format string, args ...any) error {
	return &protocol.Error{Code: protocol.SystemError, Remark: fmt.Sprintf(format, args...)}
}
