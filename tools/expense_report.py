"""Nested pydantic models as input: the function gets real objects, dates and decimals."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agent_server import ToolError, tool


class Category(StrEnum):
    """What money was spent on."""

    TRAVEL = "travel"
    MEALS = "meals"
    LODGING = "lodging"
    OTHER = "other"


class Expense(BaseModel):
    """One receipt."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(min_length=1, max_length=100)
    amount: Decimal = Field(gt=0, le=100_000, description="In the report's currency")
    category: Category = Category.OTHER
    spent_on: date = Field(description="Day of the receipt, as YYYY-MM-DD")


class Report(BaseModel):
    """What the expenses come to."""

    employee: str
    currency: str
    total: Decimal
    by_category: dict[str, Decimal]
    first_day: date
    last_day: date


@tool(
    effects="none",
    input_examples=[
        {
            "employee": "Ada",
            "expenses": [
                {"description": "Train to Paris", "amount": 89.5, "spent_on": "2026-03-02"},
                {
                    "description": "Hotel, two nights",
                    "amount": 310,
                    "category": "lodging",
                    "spent_on": "2026-03-04",
                },
            ],
        }
    ],
)
def expense_report(
    employee: Annotated[str, Field(min_length=1, max_length=80)],
    expenses: Annotated[list[Expense], Field(min_length=1, max_length=200)],
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR",
) -> Report:
    """Add up an employee's expenses by category. All amounts must be in one currency.

    Args:
        employee: Who spent the money.
        expenses: Every receipt, in any order.
        currency: The three-letter code of the currency.
    """
    today = date.today()  # noqa: DTZ011 -- receipts are dated by the calendar on the wall
    late = [expense for expense in expenses if expense.spent_on > today]
    if late:
        raise ToolError(f"{late[0].description!r} is dated in the future: {late[0].spent_on}")
    by_category: defaultdict[str, Decimal] = defaultdict(Decimal)
    for expense in expenses:
        by_category[expense.category] += expense.amount
    return Report(
        employee=employee,
        currency=currency,
        total=sum(by_category.values(), Decimal()),
        by_category=dict(by_category),
        first_day=min(expense.spent_on for expense in expenses),
        last_day=max(expense.spent_on for expense in expenses),
    )
