// Package filter knows what a consumer subscribes to: it parses the expression of
// a subscription as FilterAPI.build does, and matches messages by the hash of
// their tag. SQL92 expressions are parsed no further than Java's FilterAPI does;
// nothing here evaluates them. The package has no state.
package filter

import (
	"errors"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/compat/javastr"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/store"
)

// Expression types (ExpressionType).
const (
	Tag   = "TAG"
	SQL92 = "SQL92"
)

// All is the expression that matches every message.
const All = "*"

// ErrSplit is Java's refusal of an expression of nothing but separators.
var ErrSplit = errors.New("subString split error")

// ErrEmpty is the refusal of an empty expression of a type other than TAG.
//
//lint:ignore ST1005 Java's words, which reach the client
var ErrEmpty = errors.New("Expression can't be null!")

// IsTag says whether an expression type means tags; absent and empty do.
func IsTag(expressionType string) bool { return expressionType == "" || expressionType == Tag }

// Unsupported is the refusal of an expression type that is not served, with the words
// of a Java broker whose enablePropertyFilter is off.
func Unsupported(expressionType string) *protocol.Error {
	return protocol.Errorf(protocol.SystemError, "The broker does not support consumer to filter message by %s", expressionType)
}

// Parse makes the subscription of a topic. A tag expression is split at ||, its
// tags are trimmed, empty ones dropped and each kept once; an absent expression is
// All. Another type keeps its expression unparsed. The strings of the result are
// parts of the arguments. SubVersion is left 0.
func Parse(topic, expression, expressionType string) (body.SubscriptionData, error) {
	sub := body.SubscriptionData{Topic: topic, SubString: expression, ExpressionType: Tag}
	if !IsTag(expressionType) {
		if expression == "" {
			return sub, ErrEmpty
		}
		sub.ExpressionType = expressionType
		return sub, nil
	}
	if expression == "" || expression == All {
		sub.SubString = All
		return sub, nil
	}
	if strings.Trim(expression, "|") == "" && len(expression)%2 == 0 {
		return sub, ErrSplit
	}
	parts := strings.Split(expression, "||")
	seen := make(map[string]bool, len(parts))
	codes := make(map[int32]bool, len(parts))
	for _, tag := range parts {
		if tag = trim(tag); tag == "" || seen[tag] {
			continue
		}
		seen[tag] = true
		sub.TagsSet = append(sub.TagsSet, tag)
		if code := javastr.Hash(tag); !codes[code] {
			codes[code] = true
			sub.CodeSet = append(sub.CodeSet, code)
		}
	}
	Prepare(&sub)
	return sub, nil
}

// fewTags is the number of codes up to which looking at each is as quick as
// anything else.
const fewTags = 16

// Prepare brings a subscription that did not come from Parse into the form that
// Tags takes: many codes are sorted and each stands there once. The slice of the
// codes becomes sub's own work space.
func Prepare(sub *body.SubscriptionData) {
	if len(sub.CodeSet) > fewTags {
		slices.Sort(sub.CodeSet)
		sub.CodeSet = slices.Compact(sub.CodeSet)
	}
}

// trim is Java's String.trim: it cuts everything up to the blank.
func trim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

// Tags is the filter of a tag subscription, which comes from Parse or has gone
// through Prepare; nil when everything matches. It keeps what sub points to. The store asks it with the tags code of consume queue
// entries; two tags may have the same code, clients check the text again.
func Tags(sub *body.SubscriptionData) store.Filter {
	if sub == nil || sub.ClassFilterMode || sub.SubString == All || !IsTag(sub.ExpressionType) {
		return nil
	}
	return tags(sub.CodeSet)
}

// Match says whether a message with this tags code belongs to a subscription, as
// Tags does.
func Match(sub *body.SubscriptionData, tagsCode int64) bool {
	f := Tags(sub)
	return f == nil || f.MatchTags(tagsCode)
}

// tags are the hash codes of the wanted tags.
type tags []int32

// MatchTags implements store.Filter.
func (t tags) MatchTags(tagsCode int64) bool {
	if len(t) <= fewTags {
		return slices.Contains(t, int32(tagsCode))
	}
	_, ok := slices.BinarySearch(t, int32(tagsCode))
	return ok
}

// NeedsRecord implements store.Filter.
func (tags) NeedsRecord() bool { return false }

// MatchRecord implements store.Filter.
func (tags) MatchRecord([]byte) bool { return true }
