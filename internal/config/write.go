package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Text returns a value as a file has it on one line, so that reading it gives the value again. It is what is read into a
// variable of type any; of anything else it is a text.
func Text(value any) string {
	switch value := value.(type) {
	case bool, int64:
		return fmt.Sprint(value)
	case float64:
		text := strconv.FormatFloat(value, 'f', -1, 64)
		if math.IsInf(value, 1) {
			return "inf" // which TOML has in small letters
		} else if !strings.Contains(text, ".") && !math.IsInf(value, 0) && !math.IsNaN(value) {
			text += ".0"
		}
		return strings.ToLower(text)
	case time.Time:
		return value.Format(time.RFC3339Nano)
	case []any:
		var all []string
		for _, element := range value {
			all = append(all, Text(element))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case map[string]any:
		var all []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			all = append(all, show(key)+" = "+Text(value[key]))
		}
		return "{" + strings.Join(all, ", ") + "}"
	}
	return quote(fmt.Sprint(value))
}

// quote returns a text in quotes, with escapes for what cannot be seen.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
