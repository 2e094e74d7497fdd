//! Challenge answers: who must find them, and which must still be taken back.

use acme_bridge::{AnswerKind, ChallengeAnswer, OrderId, Place};

use super::session::{Result, Row, Session, Value, all, corrupt, one};

/// The labels of a name from the right: `org.example.iot`.
fn reversed(name: &str) -> String {
    name.rsplit('.').collect::<Vec<_>>().join(".")
}

/// Keeps an answer, in force.
pub(super) async fn put(session: &mut dyn Session, answer: &ChallengeAnswer) -> Result<()> {
    let sql = "INSERT INTO challenge_answers \
               (owner, value, \"order\", name, kind, place, reversed, retired) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0) \
               ON CONFLICT (owner, value, \"order\") DO UPDATE SET retired = 0, place = $6";
    let reversed = reversed(&answer.owner);
    let values = [
        Value::from(&answer.owner),
        Value::from(&answer.value),
        answer.order.as_str().into(),
        Value::from(&answer.name),
        answer.kind.as_str().into(),
        answer.place.as_str().into(),
        Value::from(&reversed),
    ];
    session.execute(sql, &values).await?;
    Ok(())
}

/// Ends the answers of an order: what other servers have is retired, the rest is gone.
pub(super) async fn retire(session: &mut dyn Session, order: &OrderId) -> Result<()> {
    let built_in = "DELETE FROM challenge_answers WHERE \"order\" = $1 AND place = 'built-in'";
    session.execute(built_in, &[order.as_str().into()]).await?;
    let others = "UPDATE challenge_answers SET retired = 1 WHERE \"order\" = $1";
    session.execute(others, &[order.as_str().into()]).await?;
    Ok(())
}

/// Forgets a retired answer, or one whose order ended.
pub(super) async fn remove(session: &mut dyn Session, answer: &ChallengeAnswer) -> Result<()> {
    let sql = format!(
        "DELETE FROM challenge_answers WHERE owner = $1 AND value = $2 AND \"order\" = $3 \
         AND NOT ({IN_FORCE})"
    );
    let order = answer.order.as_str();
    let values = [Value::from(&answer.owner), Value::from(&answer.value), order.into()];
    session.execute(&sql, &values).await?;
    Ok(())
}

/// Whether some order still needs the row that is looked at.
const IN_FORCE: &str = "retired = 0 AND EXISTS (SELECT 1 FROM orders \
     WHERE orders.id = challenge_answers.\"order\" AND orders.is_final = 0)";

pub(super) async fn retired(session: &mut dyn Session, limit: u32) -> Result<Vec<ChallengeAnswer>> {
    let sql = format!(
        "SELECT * FROM challenge_answers WHERE NOT ({IN_FORCE}) \
         ORDER BY owner, value, \"order\" LIMIT $1"
    );
    all(session, &sql, &[limit.into()], answer).await
}

pub(super) async fn is_in_force(
    session: &mut dyn Session,
    answer: &ChallengeAnswer,
) -> Result<bool> {
    let sql = format!(
        "SELECT 1 AS found FROM challenge_answers WHERE owner = $1 AND value = $2 AND {IN_FORCE} \
         LIMIT 1"
    );
    let values = [Value::from(&answer.owner), Value::from(&answer.value)];
    Ok(one(session, &sql, &values, |row| row.integer("found")).await?.is_some())
}

pub(super) async fn in_force_at(session: &mut dyn Session, owner: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT value FROM challenge_answers WHERE owner = $1 AND {IN_FORCE} \
         ORDER BY value"
    );
    all(session, &sql, &[owner.into()], |row| row.text("value")).await
}

pub(super) async fn values(
    session: &mut dyn Session,
    kind: AnswerKind,
    owner: &str,
) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT value FROM challenge_answers WHERE owner = $1 AND kind = $2 \
               AND place = 'built-in' AND retired = 0 ORDER BY value";
    all(session, sql, &[owner.into(), kind.as_str().into()], |row| row.text("value")).await
}

pub(super) async fn is_above(session: &mut dyn Session, name: &str) -> Result<bool> {
    // Everything below `org.example` begins with `org.example.`, and '/' comes after '.'.
    let sql = "SELECT 1 AS found FROM challenge_answers WHERE reversed > $1 AND reversed < $2 \
               AND retired = 0 AND kind = 'txt' AND place = 'built-in' LIMIT 1";
    let name = reversed(name);
    let (from, to) = (format!("{name}."), format!("{name}/"));
    let values = [Value::from(&from), Value::from(&to)];
    Ok(one(session, sql, &values, |row| row.integer("found")).await?.is_some())
}

fn answer(row: &mut Row) -> Result<ChallengeAnswer> {
    let (kind, place) = (row.text("kind")?, row.text("place")?);
    Ok(ChallengeAnswer {
        order: OrderId::new(row.text("order")?),
        name: row.text("name")?,
        kind: AnswerKind::parse(&kind).ok_or_else(|| corrupt("kind", &kind))?,
        owner: row.text("owner")?,
        value: row.text("value")?,
        place: Place::parse(&place).ok_or_else(|| corrupt("place", &place))?,
    })
}
