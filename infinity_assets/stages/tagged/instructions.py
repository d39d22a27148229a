"""Which leaf of the taxonomy a question about a picture belongs to, by rule, in English and Chinese.

The type of a question (:mod:`.question_types`) leads to a short list of patterns; the first that is found
gives the leaf, else the type's own leaf holds. The rules are our choice. They reach the leaves that a few
words give away; a model that labels may reach the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from infinity_assets.stages.tagged.question_types import question_types
from infinity_assets.stages.tagged.taxonomy import Taxonomy

#: Raised whenever the same question would get another leaf by the same taxonomy.
INSTRUCTION_VERSION: Final = 2

_CHARTS: Final = (
    (r"\bpie\b|饼图|饼状图", "pie_chart"),
    (r"\bline\s+(?:chart|graph|plot)|折线图", "line_chart"),
    (r"\bbars?\b|\bhistogram|柱状图|柱形图|条形图|直方图", "bar_chart"),
    (r"\btable|\bcolumn|\brow\b|表格|表中", "table_parsing"),
    (r"\bfunction\b|\bcurve\b|\bplot\s+of\b|函数|曲线", "function_plot"),
    (r"\bdiagram|\bflow\s*chart|示意图|流程图", "diagram_parsing"),
)
_SCENE: Final = (
    (r"\bbackground\b|背景", "background"),
    (r"\bweather\b|天气", "weather"),
    (r"\bseason\b|季节", "season"),
    (r"\btemperature\b|温度|气温", "temperature"),
    (r"\btime\s+of\s+(?:the\s+)?day\b|\bday\s+or\s+night\b|白天|夜晚|什么时候", "time_of_day"),
    (r"\bindoors?\b|\boutdoors?\b|\broom\b|室内|房间", "indoor_scene"),
    (r"\b(?:take|takes|taking|taken)\s+place\b|\b(?:kind|sort|type)\s+of\s+(?:place|setting|environment)\b"
     r"|\bsetting\b|\benvironment\b|场景是|环境", "environment_type"),
    (r"\b(?:style|medium)\b|\b(?:photo|painting|drawing|cartoon)\s+or\b"
     r"|风格|画风|油画|水彩|素描|漫画|照片还是|还是照片", "image_category"),
    (r"\b(?:feeling|mood|emotion|atmosphere)\b|情绪|情感|心情|氛围|气氛", "overall_emotion"),
    (r"\bblurr?y\b|\bsharp(?:ness)?\b|\bclarity\b|清晰|模糊", "clarity"),
    (r"\bbright(?:ness)?\b|\bcontrast\b|亮度|对比度", "brightness_contrast"),
    (r"\blighting\b|光线|光照", "lighting"),
    (r"\bcomposition\b|构图", "composition"),
    (r"\bquality\b|质量", "overall_quality"),
)  # fmt: skip
_ASKED: Final = (
    (r"\bbounding\s+box|\bbbox\b|边界框|包围框", "bounding_box"),
    (r"\bcoordinates?\b|坐标", "object_coordinates"),
    (r"\b(?:happen|occur)s?\s+next\b|\b(?:will|might|likely)\b.*\bnext\b|\bpredict|接下来|预测|将会",
     "predict_actions"),
    (r"\b(?:occupation|profession|job)\b|职业", "occupation"),
    (r"\brelationship\b|\brelated\b|关系", "personal_relation"),
    (r"\b(?:used\s+for|use\s+of|purpose|function\s+of|serves?\s+to)\b|\bthings?\s+shown\b|\bobject\s+here\b"
     r"|用来|用于|用途|作用|哪样东西", "object_function"),
    (r"\b(?:largest|smallest|biggest|tallest|longest|shortest|most\s+space|larger|smaller|bigger)\b"
     r"|最大|最小|更大|更小|最高|最长", "compare_sizes"),
    (r"\b(?:highest|lowest|greatest|most|least|fewest|more|fewer|less)\b|最多|最少|更多|更少",
     "compare_values"),
    (r"\bmaterial\b|\bmade\s+of\b|材质|材料", "material"),
    (r"\btexture\b|纹理|质地", "texture"),
    (r"\bpattern\b|图案|花纹", "pattern"),
    (r"\bshapes?\b|形状", "shape"),
    (r"\bsize\b|\bhow\s+(?:big|large|small|tall|long|wide)\b|大小|多大|多高|多长", "size"),
    (r"\bbrand\b|\blogo\b|品牌|商标", "attribute_other"),
    (r"\bfacial|\bexpression\b|\bsmil|表情|人.{0,4}(?:情绪|心情|感受)", "facial_emotion"),
    (r"\bwear(?:ing|s)?\b|\bclothe?s?\b|\bcloth(?:es|ing)\b|穿着|衣服|服装", "clothing_attributes"),
    (r"(?:动物|狗|猫|鸟|马|羊|牛|熊|鹿|兔|猴|象|鱼)[^人]{0,4}(?:做什么|干什么|干嘛)", "animal_action"),
    (r"\b(?:person|man|woman|boy|girl|people|child|player)\b.*\bdoing\b|做什么|干什么|干嘛", "human_action"),
    (r"\b(?:animal|dog|cat|bird|horse)s?\b.*\bdoing\b", "animal_action"),
    (r"\bsports?\b|体育|运动项目", "topic_sports"),
    (r"\b(?:food|dish|meal)\b|食物|菜", "topic_food"),
    (r"\b(?:animals?|breed|species)\b|动物|品种", "topic_animals"),
    (r"\b(?:plants?|flowers?|trees?)\b.*\b(?:kind|type|species)\b|植物", "topic_plants"),
    (r"\b(?:vehicles?|transport)|车辆|交通工具", "transportation"),
    (r"\bbuildings?\b|建筑", "buildings"),
    (r"\btheme\b|主题", "overall_theme"),
    (r"\bmain\s+(?:subject|object|focus)\b|主体", "main_subject"),
    *_SCENE,
)  # fmt: skip
_NUMBERED: Final = (
    (r"\b(?:people|persons?|men|women|children|kids|boys|girls|players)\b|几个?人|多少(?:个|名|位)?人|几[位名]",
     "people_count"),
    (r"\b(?:animals?|dogs?|cats?|birds?|horses?|sheep|cows?|fish(?:es)?)\b|动物|几只|多少只", "animal_count"),
    *_CHARTS,
)  # fmt: skip
_SIDES: Final = (
    (r"\b(?:left|right|above|below|behind|in\s+front|next\s+to|between|under)\b.*\bof\b|[左右前后][边面方侧]|[上下]方|[里外]面还是",
     "relative_position_of_objects"),
)  # fmt: skip

#: Type of question -> patterns in order, and the leaf where none is found (null: no leaf).
RULES: Final[Mapping[str, tuple[Sequence[tuple[str, str]], str | None]]] = {
    "multiple_choice": ((*_SIDES, *_ASKED, *_CHARTS), None),
    "yes_no": ((*_SIDES, *_ASKED, *_CHARTS), "presence"),
    "ocr_read": (
        (
            (r"\b(?:formula|equation|table|chart)|公式|表格", "ocr_structures"),
            (r"\b(?:total|price|date|name|number|amount|address|phone|invoice)\b|金额|日期|姓名|电话|地址|总计|车牌|号码",
             "key_information"),
            (r"\btranscri|\bread\b|\ball\b|\bextract|识别|转录|全部", "text_transcription"),
        ),
        "printed_text",
    ),
    "chart_read": (_CHARTS, "other_chart"),
    "counting": (_NUMBERED, "object_count"),
    "math": (
        (
            (r"\btriangle|\bcircle|\bangle|\bparallel|∠|△|三角形|四边形|平行|阴影|面积|周长|圆|角",
             "geometric_diagram"),
            (r"\bfunction\b|\bgraph\b|函数|图像", "function_plot"),
            (r"\\frac|\\sqrt|\bformula|\bequation|公式|方程", "formula_parsing"),
        ),
        "math_problem",
    ),
    "colour": (
        ((r"\bcompare|\bdifferen|\bsame\b|比较|对比|相同|不同|区别|差异", "compare_colours"),),
        "colour",
    ),
    "compare": (
        (
            (r"\bcolou?r|颜色", "compare_colours"),
            (r"\b(?:size|larger|bigger|taller)|大小|更[大小高矮长短宽窄]", "compare_sizes"),
            (r"\bshape|形状", "compare_shapes"),
            (r"\b(?:number|many|quantit)|数量|更[多少]", "compare_quantities"),
            (r"\bmaterial|材质", "compare_materials"),
            (r"\bage\b|\bolder\b|\byounger\b|年龄|更(?:老|年轻|年长)", "compare_ages"),
            (r"\btext|\bword|文字", "compare_text"),
            (r"更(?:靠|近|远)", "relative_position_of_objects"),
            (r"\bvalue|\brevenue|\bprice|数值|价格", "compare_values"),
        ),
        "comparison_other",
    ),
    "why": ((), "causal_relation"),
    "how_to": (_ASKED, None),
    "where": (
        (*_SIDES, *_ASKED, (r"\bcity|\bcountry|哪个城市|哪个国家|哪[里儿]?拍|拍摄地|拍摄于", "location")),
        "object_location",
    ),
    "when": ((*_SCENE,), "time_of_day"),
    "who": ((), "people_identity"),
    "describe": (
        (
            (r"\b(?:region|area|box)\b|区域", "region_description"),
            (r"\btheme\b|主题", "overall_theme"),
            *_CHARTS,
            *_SCENE,
        ),
        "scene_description",
    ),
    "what": (
        (
            *_SIDES,
            (r"\b(?:part|side|half|corner)\s+of\s+the\s+(?:picture|image|photo|scene)\b", "object_location"),
            *_ASKED,
            (r"\bevent\b|事件|活动", "event"),
            (r"\b(?:objects?|things|items)\b|物体|物品|东西|有(?:什么|哪些)", "scene_objects"),
            (r"\b(?:wrong|defect|problem)\b|缺陷", "quality_defects"),
            (r"\bname\s+of\b|\bwhich\s+landmark\b|名称|叫什么|名字", "specific_object"),
        ),
        "category",
    ),
    "open": (_ASKED, None),
}  # fmt: skip


def instruction_leaves(questions: pl.Series, pictured: pl.Series, taxonomy: Taxonomy) -> pl.DataFrame:
    """The leaf of each question, with its group and level above.

    Args:
        questions: one text for each, markers taken out; null where there is none.
        pictured: whether there is a picture or a video to ask about; without one a question has no leaf.
        taxonomy: the tree; a rule's leaf that was merged gives the one it went into, a retired one none.

    Returns:
        String columns ``l1``, ``l2``, ``l3``, one row for each; null where no rule holds.
    """
    frame = pl.DataFrame({"question": questions.cast(pl.String), "pictured": pictured.cast(pl.Boolean)})
    # The same question is asked of thousands of pictures: each is looked at once.
    distinct = frame.filter(pl.col("pictured") & pl.col("question").is_not_null()).select("question").unique()
    kinds = question_types(distinct["question"], pl.repeat(True, len(distinct), eager=True))
    distinct = distinct.with_columns(kind=kinds, text=pl.col("question").str.to_lowercase())
    parts = [_labelled(group, str(kind)) for (kind,), group in distinct.drop_nulls("kind").group_by("kind")]
    found = pl.concat(parts) if parts else pl.DataFrame(schema={"question": pl.String, "rule": pl.String})
    joined = frame.join(found, on="question", how="left", maintain_order="left")
    return with_levels(joined.select(pl.when("pictured").then("rule")).to_series(), taxonomy)


def with_levels(names: pl.Series, taxonomy: Taxonomy) -> pl.DataFrame:
    """Leaves with their group and level above: ``l1``, ``l2``, ``l3``.

    Args:
        names: of leaves, also of an earlier version of the tree; null where there is none.
        taxonomy: the tree. A leaf that was merged gives the one it went into, a retired one none.
    """
    leads = {name: taxonomy.resolve(name) for name in names.drop_nulls().unique().to_list()}
    leaf = {name: taxonomy.leaves[led] for name, led in leads.items() if led is not None}
    levels = {
        "l1": {name: found.l1 for name, found in leaf.items()},
        "l2": {name: found.l2 for name, found in leaf.items()},
        "l3": {name: found.name for name, found in leaf.items()},
    }
    named = pl.DataFrame({"name": names.cast(pl.String)})
    return named.select(
        pl.col("name").replace_strict(mapping, default=None, return_dtype=pl.String).alias(level)
        for level, mapping in levels.items()
    )


def _labelled(group: pl.DataFrame, kind: str) -> pl.DataFrame:
    patterns, otherwise = RULES[kind]
    leaf: pl.Expr = pl.lit(otherwise, dtype=pl.String)
    for pattern, name in reversed(patterns):
        leaf = pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(name)).otherwise(leaf)
    return group.select("question", rule=leaf)
