"""What kind of question a sample asks, by rule, in English and Chinese.

The first user turn that says something is the question, its media markers taken out. The rules are asked in
order and the first that holds gives the type. They are our choice; a model's labels may replace them later.

================ ==========================================================================================
type             holds where the question ...
================ ==========================================================================================
multiple_choice  lists at least the options A and B
yes_no           begins a clause with is, are, does, can, ... (but not "can you describe"), or asks 吗 or 是否
ocr_read         asks for text, writing, a transcription; only where there is a picture or a video
chart_read       speaks of a chart, graph, plot or table; only where there is a picture or a video
counting         asks how many, for a number of things, 多少个, 几只
math             asks to solve, calculate or prove, or holds formulas
colour           asks for a colour
compare          asks for a difference, a similarity or a comparison
why              asks for a reason
how_to           asks how something is done
where            asks for a place
when             asks for a time
who              asks for a person
describe         asks for a description or caption
what             asks what or which
open             anything else
================ ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

#: Type -> pattern, in order. RE2-like syntax without look-around; the text is lower case.
RULES: Final[Mapping[str, str]] = {
    "multiple_choice": r"(?s)(?:^|[\s(（。？！：；，])a\s*[.)．、）:：]"
    r".*(?:^|[\s(（。；，、])b\s*[.)．、）:：]",
    "yes_no": r"(?:^|[,.;:!?]\s*)(?:is|are|was|were|does|do|did|has|have|can|could|will|would|should)"
    r"(?:n't)?\s+(?:the|there|this|that|these|those|it|he|she|they|we|i|any|some|an?|all|both|each|every|no|not|one|your|my|people|someone)\b"
    r"|(?:^|[,.;:!?]\s*)(?:can|do|could)\s+you\s+see\b|吗|是否|是不是|有没有|对不对",
    "ocr_read": r"\bocr\b|\btranscri|\bread\s+(?:the|out|all|any|this)\b"
    r"|\b(?:is|are)\s+written\b|\bwritten\s+on\b"
    r"|\bwhat\s+(?:does|do)\s+.*\b(?:say|read)\b|\b(?:what|which|extract|the)\s+(?:text|words?)\b"
    r"|写着|写了|写的是|文字|文本|识别.*字|转录|抄写|念出|读出|车牌号|标语|写出图中"
    r"|(?:发票|收据|小票|票据|账单|单据|名片|证件).*(?:多少|什么|哪|谁)",
    "chart_read": r"\b(?:charts?|graphs?|plots?|histograms?|diagrams?|x-axis|y-axis|legend)\b"
    r"|\b(?:in|from|of|to)\s+(?:the|this)\s+table\b|图表|柱状图|柱形图|折线图|饼图|条形图|直方图|散点图|曲线图"
    r"|流程图|示意图|表格|表中|坐标轴|图例",
    "counting": r"\bhow\s+many\b|\bnumber\s+of\b|\bcount\b"
    r"|(?:多少|几)(?:个|只|辆|张|条|人|位|本|件|种|棵|朵)"
    r"|数一数|数量",
    "math": r"\b(?:solve|calculate|compute|evaluate|simplify|prove|derive)\b|\bequations?\b|\\frac|\\sqrt|∠|△"
    r"|\bhow\s+much\b|计算|求解|求证|证明|已知|解方程|化简|因式分解"
    r"|求.{0,24}(?:面积|周长|体积|长度|度数|值|概率|范围|坐标)",
    "colour": r"\bcolou?rs?\b|颜色|什么色",
    "compare": r"\bcompare|\bdifferen(?:ce|ces|t)\b|\bsimilar|\bin\s+common\b|\bversus\b"
    r"|比较|对比|区别|不同|相同|差异|共同点|谁更|哪.{0,6}更",
    "why": r"\bwhy\b|\breasons?\b|\bwhat\s+causes?\b|为什么|为何|原因",
    "how_to": r"\bhow\s+(?:to|do|does|can|could|should|would|is|are|might)\b|\bsteps?\b"
    r"|如何|怎么|怎样|步骤",
    "where": r"\bwhere\b|\bwhich\s+side\b|\blocat|\bposition\b|哪里|哪儿|在哪|位置|什么地方|何处"
    r"|(?:左|右|上|下|前|后|里|外)[边面方侧]还是|哪一?[边侧]|哪个方向",
    "when": r"\bwhen\b|\bwhat\s+(?:time|year|date|day)\b|什么时候|何时|几点|哪一年",
    "who": r"\bwho\b|\bwhose\b|谁",
    "describe": r"\bdescri(?:be|ption)|\bcaption|\bsummar|\bwhat\s+is\s+happening\b|\btell\s+me\s+about\b"
    r"|\bexplain\b|描述|介绍|概述|概括|总结|说明|解释|讲述|叙述|看图说话",
    "what": r"\bwhat\b|\bwhich\b|什么|哪个|哪些|哪种|哪一",
}
OPEN: Final = "open"

#: "Rewrite the text" is no reading of text where there is nothing to see.
VISUAL: Final = ("ocr_read", "chart_read")


def question_types(questions: pl.Series, pictured: pl.Series) -> pl.Series:
    """The type of each question.

    Args:
        questions: one text for each sample, markers taken out; null where there is no question.
        pictured: whether the sample has a picture or a video.

    Returns:
        A string for each; null where the question is null or blank.
    """
    text = pl.col("question").str.strip_chars().str.to_lowercase()
    kind: pl.Expr = pl.lit(OPEN)
    for name, pattern in reversed(list(RULES.items())):
        holds = text.str.contains(pattern)
        kind = (
            pl.when(holds & pl.col("pictured") if name in VISUAL else holds)
            .then(pl.lit(name))
            .otherwise(kind)
        )
    asked = text.is_not_null() & (text != "")
    frame = pl.DataFrame({"question": questions.cast(pl.String), "pictured": pictured})
    return frame.select(question_type=pl.when(asked).then(kind)).to_series()
