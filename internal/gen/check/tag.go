package check

import (
	"fmt"
	"go/types"
	"reflect"
	"regexp"

	"github.com/divisi-go/divisi/internal/gen/rule"
	"github.com/divisi-go/divisi/internal/name"
)

// The keys of tags: ours, and that of Service Weaver.
var tagKeys = []string{"divisi", "weaver"}

// tag returns the name in a field's tag.
func (c *checker) tag(s *types.Struct, i int, owner string) string {
	tag := s.Tag(i)
	for _, key := range tagKeys {
		value, ok := reflect.StructTag(tag).Lookup(key)
		if !ok {
			continue
		}
		if !isName(value) {
			c.refuse(s.Field(i).Pos(), rule.TagName, owner, value)
			return ""
		}
		return value
	}

	if mistake := mistakenTag(tag); mistake != "" {
		c.refuse(s.Field(i).Pos(), rule.TagKey, owner, "`"+tag+"`", mistake)
	}
	return ""
}

// pair is one key of a tag, with its value.
var pair = regexp.MustCompile(`^ *([^ ":]+):"(?:[^"\\]|\\.)*"`)

// mistakenTag says what is wrong with a tag without one of the keys, "" if it is a tag for others.
func mistakenTag(tag string) string {
	for tag != "" {
		match := pair.FindStringSubmatch(tag)
		if match == nil {
			return "it is not of the form key:\"value\""
		}
		if nearest, ok := name.Nearest(match[1], tagKeys); ok {
			return fmt.Sprintf("its key is %s, not %s", match[1], nearest)
		}
		tag = tag[len(match[0]):]
	}
	return ""
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}
