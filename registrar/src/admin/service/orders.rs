//! Orders at ACME CAs, and the accounts there.

use super::{Service, limit};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::account::AccountView;
use crate::admin::api::order::{OrderDetail, OrderQuery, OrderView};
use crate::admin::cursor;
use crate::admin::problem::Problem;
use crate::store::model::{OrderFilter, OrderPlace};

/// The states that an order can be asked for by.
const STATES: [&str; 8] =
    ["intended", "placed", "authorizing", "ready", "finalizing", "valid", "issued", "invalid"];

impl Service {
    /// A page of the orders, the newest first.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn orders(&self, query: &OrderQuery) -> Result<Page<OrderView>, Problem> {
        let limit = limit(query.limit)?;
        let after: Option<OrderPlace> = query.after.as_deref().map(cursor::decode).transpose()?;
        let filter = self.order_filter(query).await?;
        let rows = self.desk.list(&filter, after.as_ref(), limit).await?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|length| length == limit);
        let next = rows.last().filter(|_| is_full).map(|last| {
            let id = last.order.id.to_string();
            cursor::encode(&OrderPlace { created_at: last.created_at, id })
        });
        Ok(Page { items: rows.iter().map(Into::into).collect(), next })
    }

    async fn order_filter(&self, query: &OrderQuery) -> Result<OrderFilter, Problem> {
        if let Some(state) = &query.state
            && !STATES.contains(&state.as_str())
        {
            let hint = format!("states: {}", STATES.join(", "));
            return Err(Problem::invalid(format!("no order is ever in the state {state:?}"), hint));
        }
        let device = match query.device.as_deref() {
            None => None,
            Some(text) => Some(self.find(text).await?.device.id),
        };
        Ok(OrderFilter { issuer: query.issuer.clone(), state: query.state.clone(), device })
    }

    /// An order with its history.
    ///
    /// # Errors
    /// If there is none.
    pub async fn order(&self, id: &str) -> Result<OrderDetail, Problem> {
        Ok((&self.desk.show(id).await?).into())
    }

    /// Has an order that waits looked at now, and begins one anew that ended without a certificate.
    ///
    /// # Errors
    /// If there is none, it has its certificate, or its device has another enrollment for the same wish.
    pub async fn retry_order(&self, actor: &Actor, id: &str) -> Result<OrderDetail, Problem> {
        Ok((&self.desk.retry(id, &actor.name).await?).into())
    }

    /// Ends an order and its enrollment.
    ///
    /// # Errors
    /// If there is none, or the CA was asked to issue already.
    pub async fn cancel_order(&self, actor: &Actor, id: &str) -> Result<OrderDetail, Problem> {
        Ok((&self.desk.cancel(id, &actor.name).await?).into())
    }

    /// The account at an issuer's CA, as the CA shows it now.
    ///
    /// # Errors
    /// If there is no such issuer, or its CA says no or nothing.
    pub async fn account(&self, issuer: &str) -> Result<AccountView, Problem> {
        Ok(AccountView::new(issuer, self.desk.account(issuer).await?))
    }

    /// Gives the account at an issuer's CA a new key.
    ///
    /// # Errors
    /// If there is no such issuer, or its CA says no or nothing; the key file says which key is good then.
    pub async fn rotate_key(&self, actor: &Actor, issuer: &str) -> Result<AccountView, Problem> {
        Ok(AccountView::new(issuer, self.desk.rotate_key(issuer, &actor.name).await?))
    }

    /// Ends the account at an issuer's CA.
    ///
    /// # Errors
    /// If there is no such issuer, or its CA says no or nothing.
    pub async fn deactivate_account(
        &self,
        actor: &Actor,
        issuer: &str,
    ) -> Result<AccountView, Problem> {
        Ok(AccountView::new(issuer, self.desk.deactivate(issuer, &actor.name).await?))
    }
}
