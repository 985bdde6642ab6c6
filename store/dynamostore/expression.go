package dynamostore

import (
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// values are the values of an expression's :placeholders.
type values map[string]types.AttributeValue

// expression is a condition or an update. It writes each attribute as #name, because half of ours
// (name, status, state, …) are reserved words.
type expression struct {
	text  string
	names map[string]string
}

var placeholder = regexp.MustCompile(`#\w+`)

func express(text string) expression {
	e := expression{text: text, names: make(map[string]string)}
	for _, p := range placeholder.FindAllString(text, -1) {
		e.names[p] = p[1:]
	}
	return e
}

// The conditions of the protocol. Each also fails on a record of a newer format. A comparison with
// an attribute that is missing, or of another type, is false. So a damaged record fails the
// condition too, and the error then names the record.
var (
	ifAbsent = express(`attribute_not_exists(#pk)`)

	ifAsObserved  = express(`#epoch = :epoch AND #lease_id = :lease_id AND #status = :status AND #beat = :beat AND #fmt <= :fmt`)
	ifSameLease   = express(`#epoch = :epoch AND #lease_id = :lease_id AND #status = :status AND #fmt <= :fmt`)
	ifMine        = express(`#epoch = :epoch AND #lease_id = :lease_id AND #fmt <= :fmt`)
	ifMineToRenew = express(`#epoch = :epoch AND #lease_id = :lease_id AND #status = :status AND #beat < :beat AND #fmt <= :fmt`)
	ifMineAtBase  = express(`#epoch = :epoch AND #lease_id = :lease_id AND #version = :base AND #fmt <= :fmt`)
	ifLower       = express(`#epoch < :epoch AND attribute_exists(#version) AND #fmt <= :fmt`)
	ifLowerOrNone = express(`attribute_not_exists(#pk) OR (#epoch < :epoch AND attribute_exists(#version) AND #fmt <= :fmt)`)
	ifDeletedBy   = express(`#commit_id = :commit_id AND #deleted = :deleted AND #fmt <= :fmt`)
	ifDeadLine    = express(`attribute_not_exists(#pk) OR (#commit_epoch < :commit_epoch AND #fmt <= :fmt)`)
	ifSameOrDead  = express(`attribute_not_exists(#pk) OR ((#commit_id = :commit_id OR #commit_epoch < :commit_epoch) AND #fmt <= :fmt)`)
)

// The key conditions.
var (
	bySortKey    = express(`#pk = :pk AND #sk BETWEEN :from AND :to`)
	byNamespace  = express(`#ns = :ns`)
	byPrefix     = express(`#ns = :ns AND begins_with(#name, :prefix)`)
	afterName    = express(`#ns = :ns AND #name > :after`)
	betweenNames = express(`#ns = :ns AND #name BETWEEN :after AND :last`)
)

// change is an update under construction. A value that equals its default is removed and not set.
type change struct {
	values  values
	sets    []string
	removes []string
}

// newChange starts an update whose values are added to those of the condition.
func newChange(v values) *change { return &change{values: v} }

func (c *change) set(name string, v types.AttributeValue) {
	c.values[":"+name] = v
	c.sets = append(c.sets, "#"+name+" = :"+name)
}

// setOnce sets a value if there is none.
func (c *change) setOnce(name string, v types.AttributeValue) {
	c.values[":"+name] = v
	c.sets = append(c.sets, "#"+name+" = if_not_exists(#"+name+", :"+name+")")
}

func (c *change) remove(name string) { c.removes = append(c.removes, "#"+name) }

func (c *change) setNumber(name string, n int64) {
	if n == 0 {
		c.remove(name)
		return
	}
	c.set(name, num(n))
}

func (c *change) setString(name, s string) {
	if s == "" {
		c.remove(name)
		return
	}
	c.set(name, str(s))
}

func (c *change) setBool(name string, is bool) {
	if !is {
		c.remove(name)
		return
	}
	c.set(name, &types.AttributeValueMemberBOOL{Value: true})
}

func (c *change) text() string {
	var clauses []string
	if len(c.sets) > 0 {
		clauses = append(clauses, "SET "+strings.Join(c.sets, ", "))
	}
	if len(c.removes) > 0 {
		clauses = append(clauses, "REMOVE "+strings.Join(c.removes, ", "))
	}
	return strings.Join(clauses, " ")
}

// seen is a condition under construction: that a record is as it was read. A value that equals its
// default is an absent attribute.
type seen struct {
	values values
	terms  []string
}

// newSeen starts a condition whose values are added to those of the request.
func newSeen(v values) *seen { return &seen{values: v} }

func (s *seen) is(name string, v types.AttributeValue) {
	s.values[":seen_"+name] = v
	s.terms = append(s.terms, "#"+name+" = :seen_"+name)
}

func (s *seen) isAbsent(name string) {
	s.terms = append(s.terms, "attribute_not_exists(#"+name+")")
}

func (s *seen) isString(name, text string) {
	if text == "" {
		s.isAbsent(name)
		return
	}
	s.is(name, str(text))
}

func (s *seen) isNumber(name string, n int64) {
	if n == 0 {
		s.isAbsent(name)
		return
	}
	s.is(name, num(n))
}

func (s *seen) isBool(name string, is bool) {
	if !is {
		s.isAbsent(name)
		return
	}
	s.is(name, &types.AttributeValueMemberBOOL{Value: true})
}

func (s *seen) text() string { return strings.Join(s.terms, " AND ") + " AND #fmt <= :fmt" }

func orAbsent(condition string) string { return "attribute_not_exists(#pk) OR (" + condition + ")" }
