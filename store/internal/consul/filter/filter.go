// Package filter has the filters of Consul's catalog: what a caller wants to see of a list.
//
//	Service.Tags contains "v1" and not (Checks.Status == "critical" or Node.Meta.zone is empty)
package filter

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Filter decides what is shown.
type Filter struct{ test test }

// test reports whether a value, decoded from JSON, is shown.
type test func(v any) bool

// Parse reads a filter. An empty one shows everything.
func Parse(text string) (*Filter, error) {
	if strings.TrimSpace(text) == "" {
		return &Filter{}, nil
	}
	words, err := split(text)
	if err != nil {
		return nil, err
	}
	p := &parser{words: words}
	t, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if len(p.words) > 0 {
		return nil, fmt.Errorf("%s is not expected", p.words[0])
	}
	return &Filter{t}, nil
}

// Shows reports whether a value is shown; its fields are those that it has in JSON.
func (f *Filter) Shows(v any) bool {
	if f.test == nil {
		return true
	}
	text, err := json.Marshal(v)
	if err != nil {
		return false
	}
	var plain any
	err = json.Unmarshal(text, &plain)
	return err == nil && f.test(plain)
}

// word is a part of a filter.
type word struct {
	text   string
	quoted bool
}

func (w word) String() string { return strconv.Quote(w.text) }

func (w word) is(keyword string) bool { return !w.quoted && w.text == keyword }

// split returns the words of a filter.
func split(text string) ([]word, error) {
	var words []word
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return words, nil
		}
		w, rest, err := cut(text)
		if err != nil {
			return nil, err
		}
		words, text = append(words, w), rest
	}
}

// cut takes the first word off a text.
func cut(text string) (word, string, error) {
	switch text[0] {
	case '(', ')':
		return word{text: text[:1]}, text[1:], nil
	case '"':
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return word{}, "", fmt.Errorf("a string does not end: %s", text)
		}
		inside, err := strconv.Unquote(quoted)
		return word{inside, true}, text[len(quoted):], err
	case '`':
		inside, rest, ends := strings.Cut(text[1:], "`")
		if !ends {
			return word{}, "", fmt.Errorf("a string does not end: %s", text)
		}
		return word{inside, true}, rest, nil
	}
	for _, operator := range []string{"==", "!="} {
		rest, found := strings.CutPrefix(text, operator)
		if found {
			return word{text: operator}, rest, nil
		}
	}
	end := strings.IndexAny(text, " \t\r\n()=!`")
	for end > 0 && strings.Count(text[:end], "[") > strings.Count(text[:end], "]") {
		more := strings.IndexByte(text[end:], ']')
		if more < 0 {
			break
		}
		next := strings.IndexAny(text[end+more:], " \t\r\n()=!`")
		if next < 0 {
			return word{text: text}, "", nil
		}
		end += more + next
	}
	if end < 0 {
		return word{text: text}, "", nil
	}
	if end == 0 {
		return word{}, "", fmt.Errorf("%q is not expected", text[:1])
	}
	return word{text: text[:end]}, text[end:], nil
}

// parser reads words.
type parser struct{ words []word }

// maxDepth is how deep a filter may be nested.
const maxDepth = 100

// next takes the next word if it is one of some.
func (p *parser) next(keywords ...string) bool {
	if len(p.words) < len(keywords) {
		return false
	}
	for i, k := range keywords {
		if !p.words[i].is(k) {
			return false
		}
	}
	p.words = p.words[len(keywords):]
	return true
}

func (p *parser) take() (word, error) {
	if len(p.words) == 0 {
		return word{}, fmt.Errorf("the filter ends too early")
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w, nil
}

// either reads what is joined by or.
func (p *parser) either(depth int) (test, error) {
	left, err := p.both(depth)
	for err == nil && p.next("or") {
		var right test
		right, err = p.both(depth)
		before := left
		left = func(v any) bool { return before(v) || right(v) }
	}
	return left, err
}

// both reads what is joined by and.
func (p *parser) both(depth int) (test, error) {
	left, err := p.one(depth)
	for err == nil && p.next("and") {
		var right test
		right, err = p.one(depth)
		before := left
		left = func(v any) bool { return before(v) && right(v) }
	}
	return left, err
}

func (p *parser) one(depth int) (test, error) {
	switch {
	case depth > maxDepth:
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	case p.next("not"):
		t, err := p.one(depth + 1)
		return func(v any) bool { return !t(v) }, err
	case p.next("("):
		t, err := p.either(depth + 1)
		if err == nil && !p.next(")") {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		return t, err
	}
	return p.match()
}

// match reads a comparison.
func (p *parser) match() (test, error) {
	left, err := p.take()
	if err != nil {
		return nil, err
	}
	for _, negative := range []bool{false, true} {
		var not []string
		if negative {
			not = []string{"not"}
		}
		is := []string{"is", "empty"}
		if negative {
			is = []string{"is", "not", "empty"}
		}
		switch {
		case p.next(is...):
			return has(left, negative, empty)
		case p.next(append(not, "in")...):
			selector, err := p.take()
			if err != nil {
				return nil, err
			}
			return has(selector, negative, contains(left.text))
		case p.next(append(not, "contains")...):
			return p.against(left, negative, contains)
		case p.next(append(not, "matches")...):
			return p.matches(left, negative)
		case !negative && p.next("=="), negative && p.next("!="):
			return p.against(left, negative, equals)
		}
	}
	return nil, fmt.Errorf("after %s there is no operator", left)
}

// against reads the value that a selector is compared with.
func (p *parser) against(selector word, negative bool, with func(string) test) (test, error) {
	value, err := p.take()
	if err != nil {
		return nil, err
	}
	return has(selector, negative, with(value.text))
}

func (p *parser) matches(selector word, negative bool) (test, error) {
	value, err := p.take()
	if err != nil {
		return nil, err
	}
	expression, err := regexp.Compile(value.text)
	if err != nil {
		return nil, err
	}
	return has(selector, negative, anyOf(func(v any) bool {
		text, is := v.(string)
		return is && expression.MatchString(text)
	}))
}

// has applies a test to what a selector selects.
func has(selector word, negative bool, t test) (test, error) {
	path, err := selected(selector)
	return func(v any) bool { return t(follow(v, path)) != negative }, err
}

// selected splits a selector, as Node.Meta.zone or Meta["a.b"].
func selected(selector word) ([]string, error) {
	if selector.quoted || selector.text == "" {
		return nil, fmt.Errorf("%s is no selector", selector)
	}
	var path []string
	for text := selector.text; text != ""; {
		inside, bracket := strings.CutPrefix(text, "[")
		if bracket {
			quoted, err := strconv.QuotedPrefix(inside)
			if err != nil || !strings.HasPrefix(inside[len(quoted):], "]") {
				return nil, fmt.Errorf("%s is no selector", selector)
			}
			name, _ := strconv.Unquote(quoted)
			path, text = append(path, name), strings.TrimPrefix(inside[len(quoted)+1:], ".")
			continue
		}
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			return append(path, text), nil
		}
		if end == 0 {
			return nil, fmt.Errorf("%s is no selector", selector)
		}
		path = append(path, text[:end])
		text = strings.TrimPrefix(text[end:], ".")
	}
	return path, nil
}

// follow returns what is selected; of a list, what is selected of each.
func follow(v any, path []string) any {
	if len(path) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		return follow(v[path[0]], path[1:])
	case []any:
		var all []any
		for _, e := range v {
			all = append(all, follow(e, path))
		}
		return all
	}
	return nil
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func same(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return v == text
	case bool:
		return strconv.FormatBool(v) == text
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64) == text
	}
	return false
}

// anyOf applies a test to a value, or to each of a list, of which one is enough.
func anyOf(t test) test {
	return func(v any) bool {
		list, is := v.([]any)
		if is {
			return slices.ContainsFunc(list, t)
		}
		return t(v)
	}
}

func equals(text string) test { return anyOf(func(v any) bool { return same(v, text) }) }

// contains tests whether a list has a value, a map a key, or a string a part.
func contains(text string) test {
	return func(v any) bool {
		switch v := v.(type) {
		case string:
			return strings.Contains(v, text)
		case map[string]any:
			_, has := v[text]
			return has
		}
		return equals(text)(v)
	}
}
